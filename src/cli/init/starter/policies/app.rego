package main

import rego.v1

# Debug logs hold what customers type.
deny contains msg if {
	input.environment.type == "production"
	input.configurations.app.log_level == "debug"
	msg := "production must not log at level debug"
}
