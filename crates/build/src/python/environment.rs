//! The environment that markers such as `sys_platform == "win32"` are decided for.

use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree};

use crate::plan::PyVersion;

/// The environment of the app's container, for one Python version.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) python: PyVersion,
    markers: MarkerEnvironment,
}

/// The last digit of a Python version that is never compared for real; newer than all that matter.
const PATCH: u8 = 20;

impl Target {
    pub(crate) fn new(python: PyVersion) -> Self {
        let full = format!("{python}.{PATCH}");
        let json = serde_json::json!({
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": std::env::consts::ARCH,
            "platform_python_implementation": "CPython",
            "platform_release": "6.1.0",
            "platform_system": "Linux",
            "platform_version": "#1 SMP",
            "python_full_version": full,
            "python_version": python.to_string(),
            "sys_platform": "linux",
        });
        let markers = serde_json::from_value(json).expect("all fields of a marker environment are given");
        Self { python, markers }
    }

    /// Whether a marker holds here, with these extras asked for.
    pub(crate) fn holds(&self, marker: &MarkerTree, extras: &[ExtraName]) -> bool {
        marker.evaluate(&self.markers, extras)
    }

    /// Whether a marker's text holds here; one that can't be read holds, for the installer will say what is wrong with it.
    pub(crate) fn holds_text(&self, marker: &str, extras: &[ExtraName]) -> bool {
        marker.parse::<MarkerTree>().map_or(true, |marker| self.holds(&marker, extras))
    }
}
