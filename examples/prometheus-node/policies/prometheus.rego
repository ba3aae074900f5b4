# What a schema cannot say. A host without Prometheus has no such configuration, and its rules find nothing.
# `headfast check` asks them for every host, and every deployment asks them again.
package main

import rego.v1

jobs := input.configurations.prometheus.scrape_configs

deny contains msg if {
	interval := input.configurations.prometheus.global.scrape_interval
	seconds(interval) < 5
	msg := sprintf("global: scrape_interval must not be below 5s, it is %s", [interval])
}

deny contains msg if {
	some job in jobs
	seconds(job.scrape_interval) < 5
	msg := sprintf("%s: scrape_interval must not be below 5s, it is %s", [job.job_name, job.scrape_interval])
}

# The lists in `targets` are hosts of our own network; what a job names by itself may be anywhere.
deny contains msg if {
	input.environment.type == "production"
	some job in jobs
	is_plain(job)
	some group in job.static_configs
	some target in group.targets
	not is_loopback(target)
	msg := sprintf("%s: production must not scrape %s over plain http: set scheme to https", [job.job_name, target])
}

deny contains msg if {
	some job in jobs
	is_plain(job)
	some key in ["authorization", "basic_auth", "oauth2"]
	job[key]
	msg := sprintf("%s: %s must not be sent over plain http: set scheme to https", [job.job_name, key])
}

# Prometheus's own default is http.
is_plain(job) if object.get(job, "scheme", "http") == "http"

is_loopback(target) if regex.match(`^(localhost|127\.[0-9.]+|\[::1\])(:[0-9]+)?$`, target)

# A duration is a sum, such as 1m30s.
seconds(text) := sum([value |
	some part in regex.find_n(`[0-9]+[a-z]+`, text, -1)
	name := trim_left(part, "0123456789")
	value := to_number(trim_suffix(part, name)) * unit[name]
])

unit := {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
