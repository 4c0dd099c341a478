//! Where the items that the macros name are, under whatever name the user's crate knows them.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, Ident, Result};

/// The path of the module with everything that expansions use.
pub(crate) fn find() -> Result<TokenStream> {
    // The scheduler itself first: the face crate depends on it as well, and both names lead to the same items.
    if let Ok(found) = crate_name("leasehold-scheduler") {
        let krate = ident(&found, "leasehold_scheduler");
        return Ok(quote!(::#krate::__macro));
    }
    match crate_name("leasehold") {
        Ok(found) => {
            let krate = ident(&found, "leasehold");
            Ok(quote!(::#krate::scheduler::__macro))
        }
        Err(error) => Err(Error::new(
            Span::call_site(),
            format!(
                "neither `leasehold` nor `leasehold-scheduler` is a dependency of this crate: {error}"
            ),
        )),
    }
}

/// Both crates know themselves by their own names too (`extern crate self as ...`).
fn ident(found: &FoundCrate, itself: &str) -> Ident {
    let name = match found {
        FoundCrate::Itself => itself,
        FoundCrate::Name(name) => name,
    };
    Ident::new(name, Span::call_site())
}
