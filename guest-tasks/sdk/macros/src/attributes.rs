//! The contents of `#[wit(…)]` and of the attribute's parentheses.

use crate::names;
use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, Ident, LitStr, Result};

/// The attributes of one item.
#[derive(Default)]
pub(crate) struct Wit {
    pub(crate) name: Option<String>,
    /// Where `flags` is set.
    pub(crate) flags: Option<Span>,
}

impl Wit {
    /// Reads all `#[wit(…)]` among these attributes.
    pub(crate) fn of(attributes: &[Attribute]) -> Result<Self> {
        let mut wit = Self::default();
        for attribute in attributes.iter().filter(|attribute| is_wit(attribute)) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("flags") {
                    wit.flags = Some(
                        meta.path
                            .get_ident()
                            .map_or_else(Span::call_site, Ident::span),
                    );
                    return Ok(());
                }
                wit.name = Some(name(&meta, "expected `name = \"…\"` or `flags`")?);
                Ok(())
            })?;
        }
        Ok(wit)
    }

    /// Refuses `flags` if it has no meaning.
    pub(crate) fn only_name(self) -> Result<Option<String>> {
        match self.flags {
            Some(span) => Err(Error::new(
                span,
                "`flags` applies to a struct whose fields are `bool`",
            )),
            None => Ok(self.name),
        }
    }
}

pub(crate) fn is_wit(attribute: &Attribute) -> bool {
    attribute.path().is_ident("wit")
}

/// `name = "…"`
pub(crate) fn name(meta: &ParseNestedMeta<'_>, wanted: &str) -> Result<String> {
    if !meta.path.is_ident("name") {
        return Err(meta.error(wanted));
    }
    let name: LitStr = meta.value()?.parse()?;
    names::check(&name.value(), name.span())?;
    Ok(name.value())
}
