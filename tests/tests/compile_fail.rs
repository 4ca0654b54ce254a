//! Specs that must be refused, one for each rule, with the error as a person reads it.
//!
//! `TRYBUILD=overwrite cargo test -p castnet-tests --test compile_fail` writes the expected texts anew: read the difference.

#[test]
fn wrong_specs_do_not_compile() {
    trybuild::TestCases::new().compile_fail("compile_fail/*.rs");
}
