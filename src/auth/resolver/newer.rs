//! Owns which of two JWTs of one account stays, when they come from different places. Never verifies a signature.

/// What is compared of a JWT.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// `sub`.
    pub subject: String,
    /// `jti`.
    pub id: String,
    /// `iat`, seconds since 1970.
    pub issued_at: i64,
}

/// Which JWT of an account stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The one that is there: it is the same, or newer.
    Keep,
    /// The one that comes.
    Take,
    /// The one that is there: the other is of another account.
    Refuse,
}

/// Chooses between the JWT of `key` that is there (`None` if it cannot be read) and the one that comes. Of two that were
/// issued in the same second the one that comes is taken.
pub fn choose(key: &str, there: Option<&Stamp>, comes: &Stamp) -> Choice {
    if comes.subject != key {
        return Choice::Refuse;
    }
    match there {
        Some(there) if there.subject != comes.subject => Choice::Take,
        Some(there) if there.id == comes.id && !comes.id.is_empty() => Choice::Keep,
        Some(there) if there.issued_at > comes.issued_at => Choice::Keep,
        _ => Choice::Take,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_one_stays() {
        let stamp = |subject: &str, id: &str, issued_at| Stamp {
            subject: subject.to_owned(),
            id: id.to_owned(),
            issued_at,
        };
        let comes = stamp("A", "2", 2);
        let choice = |there: Option<Stamp>| choose("A", there.as_ref(), &comes);
        assert_eq!(choice(None), Choice::Take);
        assert_eq!(choice(Some(stamp("A", "1", 1))), Choice::Take);
        assert_eq!(choice(Some(stamp("A", "1", 2))), Choice::Take);
        assert_eq!(choice(Some(stamp("A", "2", 1))), Choice::Keep);
        assert_eq!(choice(Some(stamp("A", "1", 3))), Choice::Keep);
        assert_eq!(choice(Some(stamp("B", "1", 3))), Choice::Take);
        assert_eq!(choose("B", None, &comes), Choice::Refuse);
        let without_id = stamp("A", "", 2);
        assert_eq!(
            choose("A", Some(&stamp("A", "", 1)), &without_id),
            Choice::Take
        );
    }
}
