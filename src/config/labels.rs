//! `server_tags` and `server_metadata`: what the operator says of the server, for events. Owns the values.

use std::collections::BTreeMap;

use serde::Serialize;

/// What the operator says of the server. Its JSON is the oracle's, without what is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Labels {
    /// `server_tags`: in lower case, each once, in the order of the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `server_metadata`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

impl Labels {
    /// Adds a tag as the oracle does: without spaces around it, in lower case, unless it is there.
    pub(super) fn add_tag(&mut self, tag: &str) {
        let tag = tag.trim().to_lowercase();
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
    }
}
