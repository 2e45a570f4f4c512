//! Studies: intake of instances, sealing, and the plan of which models read which images.
