//! The parameters of an embedder's function in Rust's own types.

use rwasm_value::value::{FromWit, Packed, PackedError, Type};
use take::Take;

/// Rust types that can be the parameters of a function of [`HostFunctions`]: a tuple of at most
/// eight types that can be read from WIT types, `()` for none. The trait is sealed.
///
/// [`HostFunctions`]: crate::sandbox::HostFunctions
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the parameters of a host function",
    note = "write the parameters as a tuple of types that own their data, such as `(String, u64)` or `(u32,)`"
)]
pub trait HostParams: Take {}

/// The foundation of the public trait. Other crates can neither name nor implement it.
pub(in crate::sandbox) mod take {
    use rwasm_value::value::{Packed, PackedError, Type};

    /// The type of the arguments.
    pub trait Take: Sized {
        /// Checks whether a function with these parameters can be called with them.
        fn fits(params: &[(String, Type)]) -> bool;

        /// The corresponding WIT types, for an error.
        fn wit() -> Vec<String>;

        /// Reads the arguments, whose types were checked.
        fn take(arguments: &[Packed]) -> Result<Self, PackedError>;
    }
}

macro_rules! params {
    ($($name:ident $place:ident),*) => {
        impl<$($name: FromWit),*> HostParams for ($($name,)*) {}

        impl<$($name: FromWit),*> Take for ($($name,)*) {
            fn fits(params: &[(String, Type)]) -> bool {
                match params {
                    [$((_, $place)),*] => true $(&& $name::fits($place))*,
                    _ => false,
                }
            }

            fn wit() -> Vec<String> {
                vec![$($name::wit()),*]
            }

            fn take(arguments: &[Packed]) -> Result<Self, PackedError> {
                match arguments {
                    [$($place),*] => Ok(($($place.unpack_as()?,)*)),
                    // The number of arguments was checked.
                    _ => Err(PackedError::Empty),
                }
            }
        }
    };
}

params!();
params!(A a);
params!(A a, B b);
params!(A a, B b, C c);
params!(A a, B b, C c, D d);
params!(A a, B b, C c, D d, E e);
params!(A a, B b, C c, D d, E e, F f);
params!(A a, B b, C c, D d, E e, F f, G g);
params!(A a, B b, C c, D d, E e, F f, G g, H h);
