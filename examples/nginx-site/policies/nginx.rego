# What a schema cannot say: rules that depend on the environment.
# `headfast check` asks them for every host, and every deployment asks them again.
package main

import rego.v1

is_production if input.environment.type == "production"

deny contains msg if {
	is_production
	not input.configurations.nginx.tls.enabled
	msg := sprintf("%s: production must speak TLS: set tls.enabled", [input.host])
}

deny contains msg if {
	is_production
	input.configurations.nginx.autoindex
	msg := "production must not list its folders: autoindex is for staging only"
}
