//! What explanations are made from: a configuration and what the broker makes of it. Holds the very tables, rules and
//! identities that a broker would run on, and finds where each of them is written; explains nothing.

use crate::account::compiler::compile;
use crate::account::table::{Mapping, RoutingTable};
use crate::account::{AccountId, GLOBAL_NAME};
use crate::auth::Authenticator;
use crate::config::check::{Exporters, Permit};
use crate::config::{self, Account, Config, Export, Import, User};

use super::jwt::Tokens;
use super::report::Item;
use super::who::Who;

/// A configuration, and what it comes to.
pub struct World<'c> {
    /// What the operator wrote.
    pub config: &'c Config,
    /// The tables of the accounts.
    pub table: RoutingTable,
    pub(super) authenticator: Authenticator,
    /// Everybody who can be connected.
    pub(super) members: Vec<Who>,
    /// Operator mode, where there are operators.
    pub(super) tokens: Option<&'c Tokens>,
    exporters: Exporters<'c>,
}

impl<'c> World<'c> {
    /// What `config` comes to.
    ///
    /// # Errors
    /// Everything that a broker would refuse to start with; operator mode, where accounts and users are not in the file.
    pub fn new(config: &'c Config) -> Result<World<'c>, Vec<String>> {
        if config.operators.is_operator_mode() {
            let text = "with an operator, accounts and users are known by JWTs";
            return Err(vec![text.to_owned()]);
        }
        World::of(config, None)
    }

    /// What operator mode comes to: with whoever enters as its only users.
    ///
    /// # Errors
    /// As those of [`World::new`].
    pub fn of_tokens(tokens: &'c Tokens) -> Result<World<'c>, Vec<String>> {
        World::of(&tokens.config, Some(tokens))
    }

    fn of(config: &'c Config, tokens: Option<&'c Tokens>) -> Result<World<'c>, Vec<String>> {
        let texts = |errors: Vec<crate::auth::ConfigError>| -> Vec<String> {
            errors.iter().map(ToString::to_string).collect()
        };
        let authenticator = Authenticator::new(config).map_err(texts)?;
        let authenticator = match tokens {
            Some(tokens) => authenticator.with_operator(tokens.operator()),
            None => authenticator,
        };
        let table = compile(config, None).map_err(|error| vec![error.to_string()])?;
        let mut world = World {
            config,
            table,
            authenticator,
            members: Vec::new(),
            tokens,
            exporters: Exporters::new(config),
        };
        let identities = world.authenticator.identities();
        let who = |identity| Who::of_identity(&world, identity);
        let members = identities.iter().map(who).collect();
        world.members = members;
        Ok(world)
    }

    /// The name of an account.
    pub fn name(&self, account: AccountId) -> &str {
        &self.table.account(account).name
    }

    /// Everybody who can be connected to an account.
    pub(super) fn members(&self, account: AccountId) -> impl Iterator<Item = &Who> {
        self.members
            .iter()
            .filter(move |who| who.account == account && who.shut_out.is_none())
    }

    /// Where an account is written; nowhere for the global one and a system account by default.
    pub(super) fn account(&self, account: AccountId) -> Option<&'c Account> {
        self.exporters.account(self.name(account))
    }

    /// All accounts that are written, with their numbers.
    pub(super) fn accounts(&self) -> impl Iterator<Item = (AccountId, &'c Account)> {
        let all = self.config.accounts.iter();
        all.filter_map(|account| Some((self.table.find(&account.name)?, account)))
    }

    /// A configured user by name or key.
    pub(super) fn user(&self, id: &str) -> Option<&'c User> {
        let of_accounts = self
            .config
            .accounts
            .iter()
            .flat_map(|account| &account.users);
        let mut users = self.config.authorization.users.iter().chain(of_accounts);
        users.find(|user| user.id() == id)
    }

    /// The import that a hop of the tables was made of.
    pub(super) fn import(&self, importer: AccountId, via: u32) -> &'c Import {
        let account = self
            .account(importer)
            .expect("imports are written in accounts");
        &account.imports[via as usize]
    }

    /// The mapping that one of the tables was made of.
    pub(super) fn mapping(&self, account: AccountId, mapping: &Mapping) -> &'c config::Mapping {
        let written = match self.account(account) {
            Some(account) => &account.mappings,
            None => &self.config.mappings,
        };
        debug_assert!(self.account(account).is_some() || self.name(account) == GLOBAL_NAME);
        &written[mapping.place()]
    }

    /// Whether an account may import something, and by which export.
    pub(super) fn permit(&self, importer: AccountId, import: &Import) -> Permit<'c> {
        self.exporters.permit(self.name(importer), import)
    }

    /// An import as the report shows it, and its export.
    pub(super) fn import_items(&self, importer: AccountId, via: u32) -> (Item, Option<Item>) {
        let import = self.import(importer, via);
        let export = match self.permit(importer, import) {
            Permit::Granted(export) => Some(export_item(export)),
            _ => None,
        };
        (import_item(import), export)
    }
}

/// An import as the report shows it.
pub(super) fn import_item(import: &Import) -> Item {
    let local = import.local();
    Item {
        to: Some(local).filter(|local| *local != import.subject),
        ..Item::new(import.subject.as_str(), &import.at)
    }
}

/// An export as the report shows it.
pub(super) fn export_item(export: &Export) -> Item {
    Item::new(export.subject.as_str(), &export.at)
}
