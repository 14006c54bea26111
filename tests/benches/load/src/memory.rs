//! The memory of this program, as Linux counts it.

const PAGE_BYTES: f64 = 4096.0;

/// Bytes resident now.
///
/// # Panics
/// Where there is no `/proc`.
pub fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc is mounted");
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm has numbers");
    pages * PAGE_BYTES
}
