//! Logs: set up once, without patient data.
