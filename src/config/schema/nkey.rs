//! Owns what a public key in the configuration must look like. Never sees a seed.

use super::{Field, Schema};

/// First bytes of decoded keys.
const ACCOUNT: u8 = 0;
const USER: u8 = 20 << 3;

/// The public key of an account.
pub(super) fn account(schema: &mut Schema<'_>, field: Field<'_>) -> Option<String> {
    read(schema, field, ACCOUNT, "an account (A…)")
}

/// The public key of a user; empty is none.
pub(super) fn user(schema: &mut Schema<'_>, field: Field<'_>) -> Option<String> {
    let empty =
        matches!(&field.value.kind, crate::config::value::Kind::Text(text) if text.is_empty());
    (!empty).then(|| read(schema, field, USER, "a user (U…)"))?
}

/// The text is not repeated in errors: somebody may have put a seed there.
fn read(schema: &mut Schema<'_>, field: Field<'_>, kind: u8, of: &str) -> Option<String> {
    let text = schema.text(field)?;
    if nkeys::from_public_key(text).is_ok_and(|(prefix, _)| prefix == kind) {
        return Some(text.to_owned());
    }
    schema.error(
        field.at,
        format!("{:?} must be the public key of {of}", field.name),
    );
    None
}
