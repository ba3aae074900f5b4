-- Which values of the configurations a deployment changed.
ALTER TABLE deployments ADD COLUMN keys TEXT;
