//! PyTorch's numbers: every case of `golden/`, or of the folder that `CASTNET_GOLDEN` names, through the macro.
//!
//! ```text
//! cargo test -p castnet-tests --test golden
//! CASTNET_GOLDEN=DIR cargo test -p castnet-tests --test golden
//! ```

include!(concat!(env!("OUT_DIR"), "/golden.rs"));

/// Nothing was lost on the way from the folder to the tests.
#[test]
fn the_shipped_cases_are_all_here() {
    let (shipped, cases) = (SHIPPED, CASES);
    assert!(!shipped || cases >= 136, "{cases} cases");
}
