//! From a source tree to an image: recognise, plan, run.
