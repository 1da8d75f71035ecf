//! Modules that are too large to write down, or are none: one file for each, whose `module` makes its bytes.

include!(concat!(env!("OUT_DIR"), "/hostile.rs"));

macro_rules! modules {
    ([text] $($text:ident)* [program] $($program:ident)* [made] $($made:ident)*) => {
        $(pub(super) mod $made;)*
    };
}
for_each_hostile!(modules);
