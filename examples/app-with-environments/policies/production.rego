# What a schema cannot say: rules that depend on the environment.
# `headfast check` asks them for every host, and every deployment asks them again.
package main

import rego.v1

is_production if input.environment.type == "production"

deny contains msg if {
	is_production
	some name, logger in input.configurations.app.logging
	logger.level == "debug"
	msg := sprintf("production must not log at debug: logging.%s.level", [name])
}

deny contains msg if {
	is_production
	input.configurations.app.features.beta_search
	msg := "features.beta_search is for staging only"
}

deny contains msg if {
	input.configurations.app.server.listen == "0.0.0.0"
	msg := sprintf("%s: app must not listen on all addresses, a proxy stands before it", [input.host])
}

warn contains msg if {
	some name, target in input.targets
	target.group == null
	msg := sprintf("target %s names no group", [name])
}
