//! Configuration: joins the rooms' own structs from a TOML file, the environment and flags.
