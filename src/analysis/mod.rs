//! Analysis: a sealed study in, one report out.
