//! OCI images on disk: layout, layers, configuration, garbage collection by reference.
