//! Case files: text to [`Case`]s. Owns the script language's syntax; runs nothing.
//!
//! A file holds cases, each begun by `== title`. What stands before the first title is the default of every case in it.
//!
//! ```text
//! == title
//! config:                 a configuration file for the server, indented below by two spaces
//! crlf                    the lines of the configuration end with CRLF
//! chop                    it ends without a line end
//! file NAME:              another file beside it (an include), likewise
//! flags: --auth secret    more flags for the server
//! info                    write INFO out, key by key, instead of the bare word
//! pings                   the server's own PINGs belong to the transcript (otherwise they are dropped: they come by time)
//! sort                    runs of consecutive messages on one connection have no fixed order: sort them (`unsorted` takes
//!                         it back for a case of a sorted file)
//! anysid                  which subscription of a connection gets a message is open: sids are not compared
//! merge: A B              who of these gets a message is open: one sorted list for all of them
//! tally: A B              of these connections deliveries are only counted (by `tally` steps), not shown
//! log: NAME               the server logs to this file of the case's directory, not to stderr
//! web NAME: OPTIONS       an HTTPS server, started when the case begins; see `web.rs`
//! xkey: X.svc             callout requests that are sealed for this key are opened: transcripts show them as `sealed`, and
//!                         `$claim(…)` reads them
//! jwt NAME:               a token, made when the case begins; see below
//! slow                    the case waits for times to pass: it runs on two of the four variants
//! pending: WHAT           gannet has not got it yet: the cases run against the oracle alone
//! differs: why            gannet differs on purpose, and its own transcript stands in
//! differs: stops: why     the same, where by chance the oracle does not come to the end of the case, or answers as gannet does
//! gannet:                 this block
//!
//! open A                  connect and read one thing (INFO); `open A small` has a tiny receive buffer
//! client A {"name":"x"}   open, CONNECT (neither verbose nor pedantic unless said), wait for the PONG; `client A!` is small
//! tls A cert=joe          connect in TLS; the options are described in `tls.rs`
//! A> SUB foo 1            send the line and CRLF
//! A>> SUB foo 1\n         send exactly these bytes
//! A| PUB foo 5\r|\nhel|lo\r\n   send the pieces, with a round trip on another connection between them
//! A. PING\r\n             the same, byte by byte
//! A/ PING\r\n             the bytes as many times as they can be cut in two, each time at another place
//! 500 A> PUB foo 2\r\nhi  any of the above, repeated
//! B> PUB $reply(B.2) 2\r\nhi   in what is sent, `$reply(B.2)` is the reply subject of the second delivery to B that has one, and
//!                         is waited for; `$reply(B)` is the first
//! refused A {"user":"x"}  open, CONNECT with these fields as `client` does, and wait for the server to close
//! answer B.2 TEXT         publish a text, with marks replaced, to the reply subject of that delivery, from that connection
//! seal B.2 X.svc TEXT     the same, sealed with that key for the server that sent the delivery
//! fence A B               PING and wait for its PONG, one after the other
//! read A 3                wait for three protocol messages
//! until A -ERR            wait for a message that begins so
//! closed A                wait for the server to close
//! cut A                   the same, throwing away what comes before
//! half A                  close the sending half
//! drop A                  close
//! tally A 40 60 MSG foo   how many deliveries to A so far begin so: in the bounds or not
//! rewrite:                this block is the configuration file from now on; `rewrite NAME:` another file
//! reload                  SIGHUP, and wait until the log says that the configuration was taken, or that it was not
//! log TEXT                wait for the text in the server's log
//! logged TEXT             whether the server's log holds the text by now
//! signal TERM             INT, TERM, HUP, USR1 or USR2 to the server
//! exit                    wait for the server to end
//! run -t -c $config       another process of the same program, its exit status and the lines of the file it blames;
//!                         $config $port $pid $dir are known
//! try -t -c $config       the same, and the lines it blames are not compared: the oracle names none, or not the true one
//! out TEXT                whether its output holds the text
//! cat NAME                wait for a file of the case's directory, and show it; a leading `*` stands for any beginning
//! ls NAME                 the files of a directory of the case's directory
//! seen NAME TEXT          wait for a text in a file of the case's directory
//! met NAME                how those spoke whom this HTTPS server answered
//! page NAME PAGE TEXT     what this HTTPS server has on a page from now on
//! asked NAME PAGE 2 4     how often it has been asked for the page: in the bounds or not
//! gone NAME               wait until there is no such file
//! ```
//!
//! # Keys and tokens
//!
//! In files, flags, `rewrite` blocks and in what is sent (CONNECT included) these stand for what they name. A key is made
//! from its name, and is the same every time; the name's first letter is its kind: O operator, A account, U user, N server, X curve.
//!
//! ```text
//! $pub(U.bob)             the public key
//! $seed(U.bob)            the seed
//! $sign(U.bob)            in what is sent: its (or a seed's: `$sign(SU…)`) signature of the nonce in the connection's INFO, base64url without padding
//! $sign64(U.bob)          the same in standard base64 with padding
//! $time(-60)              seconds since 1970, so many from now
//! $clock(-60)             the time of day in UTC, `hh:mm:ss`; `$clock(-60 Asia/Tokyo)` there
//! $jwt(bob)               the text of the token `jwt bob:`
//! $len(bob)               its length; `$len(bob+12)` is 12 more
//! $creds(bob U.bob)       a credentials file of a token and a seed
//! $claim(B.2 nats.x.0)    in what is sent: from the token in the second delivery to B that has a reply, a claim
//! ```
//!
//! `jwt NAME:` is a block of lines `key: value`; a line without one of these keys goes on with the value before.
//!
//! ```text
//! like: NAME              begin with what that token's block says
//! kind: user              operator, account, user, activation, authorization_request, …; required
//! by: A.one               the key that signs, and `iss`; required
//! for: U.bob              the key of `sub`; by default the issuer's
//! name: Bob               by default the token's name; `-` leaves it out
//! iat: -5                 seconds from now, or `@` and seconds since 1970; by default a time in 2024
//! exp: +60                likewise; by default none
//! nbf: -60                likewise
//! aud: NAME               `aud`
//! version: 1              1: header and claims as version 1 has them; 2 by default
//! nats: {…}               JSON, merged into `nats` as RFC 7396 merges: null removes. Accounts and users start with limits that
//!                         limit nothing.
//! claims: {…}             JSON, merged into all claims last
//! header: {…}             JSON, merged into the header
//! flaw: signature         `signature`: one bit of it is wrong; `unsigned`: none; `payload`: changed after signing;
//!                         `key`: signed by another key than `by`
//! ```
//!
//! A token may be made when it is sent: `$claim(…)` stands in its block as well. In transcripts keys and tokens that the case
//! names appear as `$pub(…)`, `$seed(…)`, `$jwt(…)`, servers' own keys as `$server`, `$xkey`.
//!
//! At the end every open connection is fenced twice, so that what must not come has had its chance to.

use crate::escape::{split_pieces, unescape};
use crate::tls;
use crate::token::Block;
use crate::web;

/// One script with its server.
#[derive(Clone, Default)]
pub struct Case {
    /// File stem and title.
    pub name: String,
    /// Line of the title.
    pub line: usize,
    /// The configuration file's text.
    pub config: Option<String>,
    /// Further files: name and text.
    pub files: Vec<(String, String)>,
    /// Further flags.
    pub flags: Vec<String>,
    /// Tokens: name and what the block says. The last of a name counts.
    pub tokens: Vec<(String, Block)>,
    /// The curve key that callout requests are sealed for.
    pub xkey: Option<String>,
    /// HTTPS servers.
    pub webs: Vec<web::Block>,
    /// File the server logs to.
    pub log: Option<String>,
    /// Write INFO out.
    pub info: bool,
    /// Keep the server's PINGs.
    pub pings: bool,
    /// Sort consecutive messages.
    pub sort: bool,
    /// Do not compare sids.
    pub anysid: bool,
    /// Connections whose messages are one list.
    pub merge: Vec<String>,
    /// Connections whose deliveries are only counted.
    pub tally: Vec<String>,
    /// It runs on two variants only.
    pub slow: bool,
    /// What gannet has yet to get before it can be compared.
    pub pending: Option<String>,
    /// Why gannet's transcript is another one; begins with [`STOPS`] where the oracle may not come to the end.
    pub differs: Option<String>,
    /// That transcript.
    pub gannet: Option<String>,
    /// What to do, with line numbers.
    pub steps: Vec<(usize, Step)>,
}

/// What the reason of a case begins with that the oracle may not come to the end of.
const STOPS: &str = "stops:";

impl Case {
    /// Whether the oracle may not come to the end of it.
    pub fn oracle_may_stop(&self) -> bool {
        let why = self.differs.as_ref();
        why.is_some_and(|why| why.starts_with(STOPS))
    }
}

/// One line of a script. Names are connections.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Connect; the flag asks for a tiny receive buffer.
    Open(String, bool),
    /// Connect in TLS.
    Tls(String, tls::Options),
    /// Connect, CONNECT with these fields, and wait for PONG.
    Client(String, String),
    /// Connect, CONNECT with these fields, and wait for the end.
    Refused(String, String),
    /// Send in one write.
    Send(String, Vec<u8>),
    /// Send in pieces.
    Pieces(String, Vec<Vec<u8>>),
    /// Do it so many times.
    Repeat(usize, Box<Step>),
    /// Publish to the reply subject of a delivery.
    Answer(String, Vec<u8>),
    /// Seal with a key, and publish to the reply subject of a delivery.
    Seal(String, String, Vec<u8>),
    /// Wait for the PONG to an own PING.
    Fence(Vec<String>),
    /// Wait for so many messages.
    Read(String, usize),
    /// Wait for a message with this beginning.
    Until(String, Vec<u8>),
    /// Wait for the end.
    Closed(String),
    /// Wait for the end, keep nothing.
    Cut(String),
    /// Close the sending half.
    Half(String),
    /// Close.
    Drop(String),
    /// Count the deliveries with this beginning: within these bounds or not.
    Tally(String, usize, usize, Vec<u8>),
    /// Write a file anew; without a name, the configuration.
    Rewrite(Option<String>, String),
    /// SIGHUP, and wait for the outcome.
    Reload,
    /// Wait for a text in the log.
    Log(String),
    /// Look for a text in the log.
    Logged(String),
    /// Send a signal.
    Signal(String),
    /// Wait for the server to end.
    Exit,
    /// Run another process to its end; the flag asks for the lines it blames.
    Run(String, bool),
    /// Look for a text in its output.
    Out(String),
    /// Wait for a file and show it.
    Cat(String),
    /// Show the names in a directory.
    List(String),
    /// Wait for a text in a file.
    Seen(String, String),
    /// Say how those spoke whom an HTTPS server answered.
    Met(String),
    /// Put another text on a page of an HTTPS server.
    Page(String, String, String),
    /// Count how often an HTTPS server has been asked for a page: within these bounds or not.
    Asked(String, String, usize, usize),
    /// Wait until a file is gone.
    Gone(String),
}

/// All cases of one file.
pub fn parse(stem: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut reader = Reader {
        lines: text.lines().collect(),
        at: 0,
    };
    let mut defaults = Case::default();
    let mut cases: Vec<Case> = Vec::new();
    while let Some(line) = reader.next() {
        let at = reader.at;
        if let Some(title) = line.strip_prefix("== ") {
            let name = format!("{stem}::{}", title.trim());
            cases.push(Case {
                name,
                line: at,
                ..defaults.clone()
            });
            continue;
        }
        let case = cases.last_mut().unwrap_or(&mut defaults);
        line_of_case(case, line, &mut reader).map_err(|e| format!("{stem}.txt:{at}: {e}"))?;
    }
    for case in &cases {
        check(case).map_err(|e| format!("{stem}.txt:{}: {e}", case.line))?;
    }
    Ok(cases)
}

struct Reader<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next line that says something.
    fn next(&mut self) -> Option<&'a str> {
        while let Some(line) = self.lines.get(self.at).copied() {
            self.at += 1;
            if !line.trim().is_empty() && !line.starts_with('#') {
                return Some(line);
            }
        }
        None
    }

    /// The indented lines that follow, without their indentation.
    fn block(&mut self) -> String {
        let mut block = Vec::new();
        while let Some(line) = self.lines.get(self.at) {
            match line.strip_prefix("  ") {
                Some(inner) => block.push(inner),
                None if line.is_empty() => block.push(""),
                None => break,
            }
            self.at += 1;
        }
        while block.last().is_some_and(|l| l.is_empty()) {
            block.pop();
        }
        block.iter().map(|l| format!("{l}\n")).collect()
    }
}

impl Case {
    fn rewrite(&mut self, how: impl Fn(&str) -> String) -> Result<(), String> {
        let text = self
            .config
            .as_mut()
            .ok_or("`crlf` and `chop` come after `config:`")?;
        *text = how(text);
        Ok(())
    }
}

fn check(case: &Case) -> Result<(), String> {
    if case.steps.is_empty() {
        return Err("a case without steps".into());
    }
    if case.differs.is_some() != case.gannet.is_some() {
        return Err("`differs:` and `gannet:` belong together".into());
    }
    Ok(())
}

fn line_of_case(case: &mut Case, line: &str, reader: &mut Reader<'_>) -> Result<(), String> {
    if let Some((key, value)) = header(line) {
        let words = || value.split_whitespace().map(str::to_owned);
        match key.split_once(' ').unwrap_or((key, "")) {
            ("config", "") => case.config = Some(reader.block()),
            ("gannet", "") => case.gannet = Some(reader.block()),
            ("file", name) => case.files.push((name.to_owned(), reader.block())),
            ("flags", "") => case.flags = words().collect(),
            ("jwt", name) => {
                let block = Block::parse(&reader.block())?;
                case.tokens.push((name.to_owned(), block));
            }
            ("web", name) => {
                let block = web::Block::parse(name, value, &reader.block())?;
                case.webs.retain(|other| other.name != block.name);
                case.webs.push(block);
            }
            ("merge", "") => case.merge = words().collect(),
            ("tally", "") => case.tally = words().collect(),
            ("pending", "") => case.pending = Some(value.to_owned()),
            ("rewrite", name) => {
                let name = (!name.is_empty()).then(|| name.to_owned());
                case.steps
                    .push((reader.at, Step::Rewrite(name, reader.block())));
            }
            ("xkey", "") => case.xkey = Some(value.to_owned()),
            ("log", "") => case.log = Some(value.to_owned()),
            ("differs", "") => case.differs = Some(value.to_owned()),
            _ => unreachable!("header() knows its keys"),
        }
        return Ok(());
    }
    match line {
        "info" => case.info = true,
        "pings" => case.pings = true,
        "sort" => case.sort = true,
        "unsorted" => case.sort = false,
        "crlf" => case.rewrite(|text| text.replace('\n', "\r\n"))?,
        "chop" => case.rewrite(|text| text.trim_end().to_owned())?,
        "anysid" => case.anysid = true,
        "slow" => case.slow = true,
        _ => case.steps.push((reader.at, step(line)?)),
    }
    Ok(())
}

fn header(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let word = key.split(' ').next().unwrap_or(key);
    let known = [
        "config", "gannet", "file", "flags", "merge", "tally", "log", "pending", "rewrite",
        "differs", "jwt", "web", "xkey",
    ];
    let named = matches!(word, "file" | "rewrite" | "jwt" | "web") && key.matches(' ').count() == 1;
    let plain = key == word || named;
    (plain && known.contains(&word)).then_some((key, value.trim()))
}

fn step(line: &str) -> Result<Step, String> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    if let Ok(times) = word.parse() {
        return Ok(Step::Repeat(times, Box::new(step(rest)?)));
    }
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = || first.to_owned();
    Ok(match word {
        "open" => Step::Open(name(), second == "small"),
        "tls" => Step::Tls(name(), tls::Options::parse(second)?),
        "client" => Step::Client(name(), second.to_owned()),
        "refused" => Step::Refused(name(), second.to_owned()),
        "answer" => Step::Answer(name(), unescape(second)?),
        "seal" => {
            let (key, text) = second.split_once(' ').unwrap_or((second, ""));
            Step::Seal(name(), key.to_owned(), unescape(text)?)
        }
        "fence" => Step::Fence(rest.split_whitespace().map(str::to_owned).collect()),
        "read" => Step::Read(name(), second.parse().map_err(|e| format!("read: {e}"))?),
        "until" => Step::Until(name(), unescape(second)?),
        "closed" => Step::Closed(name()),
        "cut" => Step::Cut(name()),
        "half" => Step::Half(name()),
        "drop" => Step::Drop(name()),
        "tally" => tally(first, second)?,
        "reload" => Step::Reload,
        "log" => Step::Log(rest.to_owned()),
        "logged" => Step::Logged(rest.to_owned()),
        "signal" => Step::Signal(rest.to_owned()),
        "exit" => Step::Exit,
        "run" => Step::Run(rest.to_owned(), true),
        "try" => Step::Run(rest.to_owned(), false),
        "out" => Step::Out(rest.to_owned()),
        "cat" => Step::Cat(name()),
        "ls" => Step::List(name()),
        "seen" => Step::Seen(name(), second.to_owned()),
        "met" => Step::Met(name()),
        "page" => {
            let (page, text) = second.split_once(' ').unwrap_or((second, ""));
            Step::Page(name(), page.to_owned(), text.to_owned())
        }
        "asked" => asked(first, second)?,
        "gone" => Step::Gone(name()),
        _ => return send(word, rest),
    })
}

/// `PAGE LOW HIGH`.
fn asked(name: &str, rest: &str) -> Result<Step, String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [page, low, high] = words[..] else {
        return Err("asked NAME PAGE LOW HIGH".into());
    };
    let bound = |word: &str| word.parse().map_err(|e| format!("asked: {word}: {e}"));
    let (low, high) = (bound(low)?, bound(high)?);
    Ok(Step::Asked(name.to_owned(), page.to_owned(), low, high))
}

/// `LOW HIGH TEXT`.
fn tally(name: &str, rest: &str) -> Result<Step, String> {
    let words: Vec<&str> = rest.splitn(3, ' ').collect();
    let [low, high, text] = words[..] else {
        return Err("tally NAME LOW HIGH TEXT".into());
    };
    let bound = |word: &str| word.parse().map_err(|e| format!("tally: {word}: {e}"));
    Ok(Step::Tally(
        name.to_owned(),
        bound(low)?,
        bound(high)?,
        unescape(text)?,
    ))
}

fn send(word: &str, rest: &str) -> Result<Step, String> {
    let end = word
        .find(|c: char| !c.is_alphanumeric())
        .unwrap_or(word.len());
    let (name, how) = (word[..end].to_owned(), &word[end..]);
    Ok(match how {
        ">" => Step::Send(name, [unescape(rest)?, b"\r\n".to_vec()].concat()),
        ">>" => Step::Send(name, unescape(rest)?),
        "|" => {
            let pieces: Result<_, _> = split_pieces(rest).iter().map(|p| unescape(p)).collect();
            Step::Pieces(name, pieces?)
        }
        "." => Step::Pieces(name, unescape(rest)?.iter().map(|b| vec![*b]).collect()),
        "/" => Step::Pieces(name, every_cut(&unescape(rest)?)),
        _ => return Err(format!("no such step: {word}")),
    })
}

/// The bytes again and again, cut after the first, the second, … byte. A piece ends where a cut is, not where the bytes end.
fn every_cut(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut left: &[u8] = &[];
    for cut in 1..bytes.len() {
        pieces.push([left, &bytes[..cut]].concat());
        left = &bytes[cut..];
    }
    pieces.push(left.to_vec());
    pieces
}
