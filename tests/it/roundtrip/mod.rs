//! What headfast writes, other parsers read as the same values, and what others write, headfast does.
//!
//! The others are PyYAML, libyaml, `json`, `tomllib` and `configparser` of Python, and `sh` for dotenv. Where YAML 1.1 and
//! 1.2 or two dialects differ, what each of them says is written down here.

mod made;
mod others;
mod python;
mod read;
mod write;
