//! Owns what a public key in the configuration must look like. Never sees a seed.

use super::{Field, Schema};

/// First bytes of decoded keys.
const ACCOUNT: u8 = 0;
const USER: u8 = 20 << 3;
const OPERATOR: u8 = 14 << 3;
const CURVE: u8 = 23 << 3;

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

/// A public curve key.
pub(super) fn curve(schema: &mut Schema<'_>, field: Field<'_>) -> Option<String> {
    read(schema, field, CURVE, "a curve key pair (X…)")
}

/// Whether the text is the public key of an account.
pub(crate) fn is_account(text: &str) -> bool {
    is(text, ACCOUNT)
}

/// Whether the text is the public key of an operator.
pub(super) fn is_operator(text: &str) -> bool {
    is(text, OPERATOR)
}

/// The text is not repeated in errors: somebody may have put a seed there.
fn read(schema: &mut Schema<'_>, field: Field<'_>, kind: u8, of: &str) -> Option<String> {
    let text = schema.text(field)?;
    if is(text, kind) {
        return Some(text.to_owned());
    }
    schema.error(
        field.at,
        format!("{:?} must be the public key of {of}", field.name),
    );
    None
}

fn is(text: &str, kind: u8) -> bool {
    nkeys::from_public_key(text).is_ok_and(|(prefix, _)| prefix == kind)
}
