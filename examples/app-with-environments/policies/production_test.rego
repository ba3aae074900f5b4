# `headfast policy test` asks these; a policy that denies nothing by a slip is found before it is needed.
package main

import rego.v1

of(kind, app) := {
	"host": "web-1",
	"environment": {"name": kind, "type": kind},
	"configurations": {"app": app},
	"targets": {},
}

test_debug_is_for_staging if {
	app := {"logging": {"file": {"level": "debug"}, "console": {"level": "info"}}}
	count(deny) == 1 with input as of("production", app)
	count(deny) == 0 with input as of("staging", app)
}

test_beta_search_is_for_staging if {
	app := {"features": {"beta_search": true}}
	"features.beta_search is for staging only" in deny with input as of("production", app)
	count(deny) == 0 with input as of("staging", app)
}

test_a_proxy_stands_before_the_app if {
	count(deny) == 1 with input as of("staging", {"server": {"listen": "0.0.0.0"}})
	count(deny) == 0 with input as of("production", {"server": {"listen": "127.0.0.1"}})
}
