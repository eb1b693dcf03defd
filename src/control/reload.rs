//! Reload: reads the configuration again and puts it into force as a whole, or leaves everything as it is. Owns the
//! configuration in force and the files that belong to it; what may change is for [`diff`] to say.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::cli::Flags;
use crate::config::Config;
use crate::config::diff::{ReloadPlan, diff};
use crate::shard::{Jobs, Node, Snapshot, Surplus, ToShard, memory};

use super::accounts::{self, Accounts};
use super::boot;
use super::callout::Callouts;
use super::log::{Logger, Prepared};
use super::process::{self, PortsFile, PublicKeys};
use super::read::{self, Ready};
use super::snapshots::Snapshots;
use super::workers::ShardLine;

/// The configuration in force, and all that a change of it touches.
pub struct Reloader {
    /// The command line: it wins over every file.
    pub flags: Flags,
    /// What is in force.
    pub config: Config,
    /// What the shards run on.
    pub snapshots: Snapshots,
    /// The shards.
    pub lines: Arc<Vec<ShardLine>>,
    /// What all shards share.
    pub node: Arc<Node>,
    /// The log.
    pub logger: Logger,
    /// Where clients are listened for.
    pub address: SocketAddr,
    /// The ports file, if there is one.
    pub ports_file: Option<PortsFile>,
    /// The accounts, where they come from JWTs.
    pub accounts: Option<Accounts>,
    /// Who asks callout services.
    pub callouts: Callouts,
    /// Where clients go on whose accounts have come.
    pub jobs: Jobs,
}

/// A change that nothing speaks against.
struct Change {
    ready: Ready,
    plan: ReloadPlan,
    snapshot: Snapshot,
    output: Option<Prepared>,
    /// What the accounts were before.
    accounts: Option<accounts::Before>,
}

impl Reloader {
    /// Reloads; the log tells the outcome in the oracle's words. What was read and what was in force before goes back to the
    /// system: this thread may have nothing to do for days, and does not come to it by itself.
    pub fn reload(&mut self) {
        match self.prepare() {
            Ok(change) => self.apply(change),
            Err(problems) => {
                let problems = problems.join("; ");
                log::error!("Failed to reload server configuration: {problems}");
            }
        }
        memory::give_back();
    }

    /// Something about accounts has come.
    pub fn accounts_hear(&mut self, event: accounts::Event) {
        if let Some(accounts) = &mut self.accounts {
            accounts.take(event, &self.lines);
        }
    }

    /// What has come about accounts has waited for long enough.
    pub fn accounts_are_due(&self) -> bool {
        self.accounts.as_ref().is_some_and(Accounts::is_due)
    }

    /// For how long more about accounts is better waited for.
    pub fn accounts_pause(&self) -> Option<Duration> {
        self.accounts.as_ref().and_then(Accounts::pause)
    }

    /// Puts into force what is known of accounts, and lets go on who waited for it.
    pub fn accounts_go_on(&mut self) {
        let Some(accounts) = &mut self.accounts else {
            return;
        };
        if !accounts.is_stale() {
            return accounts.go_on(&self.jobs);
        }
        let began = Instant::now();
        let before = self.snapshots.current().clone();
        let keys = PublicKeys::of(&before.info);
        let (config, address) = (&self.config, self.address);
        let can_wait = accounts.can_wait();
        let compile = || {
            boot::snapshot(
                config,
                keys,
                address,
                Some(&before.table),
                Some(&mut *accounts),
            )
        };
        let next = match can_wait {
            true => process::giving_way_most(compile),
            false => compile(),
        };
        match next {
            Ok(snapshot) => self.snapshots.publish(snapshot),
            Err(problem) => log::error!("accounts: {problem}"),
        }
        accounts.took(began.elapsed());
        accounts.go_on(&self.jobs);
    }

    /// How long nothing is due.
    pub fn rest(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(3600);
        self.accounts.as_ref().map_or(LONG, Accounts::rest)
    }

    /// Does what is due.
    pub fn on_time(&mut self) {
        if let Some(accounts) = &mut self.accounts {
            accounts.on_time(&self.lines);
        }
    }

    /// Everything that can fail.
    fn prepare(&mut self) -> Result<Change, Vec<String>> {
        if self.flags.config_file.is_none() {
            let text = "can only reload config when a file is provided using -c or --config";
            return Err(vec![text.into()]);
        }
        let ready = read::read(&self.flags)?;
        let config = &ready.config;
        let plan = diff(&self.config, config).map_err(|errors| read::texts(&errors))?;
        let output = match plan.log_output {
            true => Some(Prepared::open(&config.log).map_err(|error| vec![error.to_string()])?),
            false => None,
        };
        let (snapshot, accounts) = self.compile(config).map_err(|problem| vec![problem])?;
        Ok(Change {
            ready,
            plan,
            snapshot,
            output,
            accounts,
        })
    }

    /// What the shards are to run on, and what the accounts were before. If it fails they are so again.
    fn compile(&mut self, config: &Config) -> Result<(Snapshot, Option<accounts::Before>), String> {
        let accounts = self.accounts.as_mut();
        let were = accounts
            .map(|accounts| accounts.reload(config))
            .transpose()?;
        let before = self.snapshots.current();
        let keys = PublicKeys::of(&before.info);
        let table = Some(&*before.table);
        let snapshot = boot::snapshot(config, keys, self.address, table, self.accounts.as_mut());
        match (snapshot, &mut self.accounts, were) {
            (Ok(snapshot), _, were) => Ok((snapshot, were)),
            (Err(problem), Some(accounts), Some(were)) => {
                accounts.undo(were);
                Err(problem)
            }
            (Err(problem), ..) => Err(problem),
        }
    }

    fn apply(&mut self, change: Change) {
        let Change {
            ready,
            plan,
            snapshot,
            output,
            accounts,
        } = change;
        for warning in &ready.warnings {
            log::warn!("{warning}");
        }
        for line in &plan.told {
            log::info!("{line}");
        }
        if plan.log_levels {
            self.logger.set_levels(&ready.config.log);
        }
        if let Some(output) = output {
            self.logger.put(output);
        }
        self.files(&plan, &ready.config);
        if let (Some(accounts), Some(before)) = (&mut self.accounts, &accounts) {
            accounts.settle(before);
        }
        self.callouts.set_tags(ready.config.labels.tags.clone());
        self.snapshots.publish(snapshot);
        if plan.fewer_connections {
            self.shed(ready.config.limits.connections_max);
        }
        self.config = ready.config;
        let digest = ready
            .source
            .map_or_else(String::new, |source| source.digest);
        log::info!("Reloaded server configuration ({digest})");
    }

    /// Files beside the log. What cannot be written is told, and keeps nothing back.
    fn files(&mut self, plan: &ReloadPlan, config: &Config) {
        if let (true, Some(path)) = (plan.pid_file, &config.pid_file)
            && let Err(problem) = process::write_pid_file(path, std::process::id())
        {
            log::error!("Failed to write pidfile: {problem}");
        }
        if plan.ports_file {
            if let Some(Err(problem)) = self.ports_file.take().map(PortsFile::remove) {
                log::error!("{problem}");
            }
            self.ports_file = boot::write_ports_file(config, self.address);
        }
    }

    /// Closes connections until there are no more than may be: where most are, the newest of them.
    fn shed(&self, connections_max: i64) {
        let counts = self
            .node
            .connections
            .iter()
            .map(|count| count.load(Relaxed) as usize);
        let mut left: Vec<usize> = counts.collect();
        let max = usize::try_from(connections_max).unwrap_or(0);
        let surplus = left.iter().sum::<usize>().saturating_sub(max);
        let mut shed = vec![0; left.len()];
        for _ in 0..surplus {
            let fullest = (0..left.len()).max_by_key(|shard| left[*shard]);
            let fullest = fullest.expect("at least one shard");
            left[fullest] -= 1;
            shed[fullest] += 1;
        }
        for (line, count) in self
            .lines
            .iter()
            .zip(&shed)
            .filter(|(_, count)| **count > 0)
        {
            line.tell(ToShard::Shed(Surplus::OfNode(*count)));
        }
        if surplus > 0 {
            log::info!("Closed {surplus} connections to fall within max_connections");
        }
    }
}
