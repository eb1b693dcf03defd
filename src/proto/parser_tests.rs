//! Control lines as data in, data out; what is taken and refused was read off the oracle.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;

const CONTROL_LINE_BYTES_MAX: usize = 40;

/// What the beginning of an input is, in one line; offsets are shown as the bytes they mean.
fn show(input: &[u8]) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match parse(input, CONTROL_LINE_BYTES_MAX) {
        Step::Incomplete => "incomplete".into(),
        Step::Fault(fault) => format!("{fault:?}"),
        Step::Op(op, len) => {
            let op = match op {
                Op::Connect(json) => format!("CONNECT {}", text(json)),
                Op::Info(json) => format!("INFO {}", text(json)),
                Op::Err(error) => format!("-ERR {}", text(error)),
                Op::Ping => "PING".into(),
                Op::Pong => "PONG".into(),
                Op::Ok => "+OK".into(),
                Op::Sub {
                    subject,
                    queue,
                    sid,
                } => {
                    let queue = queue.map_or(String::new(), |queue| format!(" of {}", text(queue)));
                    format!("SUB {}{queue} as {}", text(subject), text(sid))
                }
                Op::Unsub { sid, max } => format!("UNSUB {} {max:?}", text(sid)),
                Op::Publish(line) => publish_text(input, &line),
            };
            format!("{op}, {len} bytes")
        }
    }
}

fn publish_text(input: &[u8], line: &PublishLine) -> String {
    let part = |at: u32, len: u32| {
        String::from_utf8_lossy(&input[at as usize..][..len as usize]).into_owned()
    };
    let verb = if line.headers { "HPUB" } else { "PUB" };
    let reply = match line.reply_len {
        0 => String::new(),
        len => format!(" reply {}", part(line.reply, len)),
    };
    let headers = if line.headers {
        format!(" {} of", line.header_len)
    } else {
        String::new()
    };
    let spelling = if line.canonical { "" } else { ", respelled" };
    format!(
        "{verb} {}{reply}{headers} {}{spelling}",
        part(line.subject, line.subject_len),
        line.total_len
    )
}

/// One line of input a line, with its escapes; behind each stands what it is.
fn check(inputs: &[&str], expected: Expect) {
    let shown = inputs.iter().map(|input| {
        format!(
            "{:<34} {}\n",
            input.escape_debug().to_string(),
            show(input.as_bytes())
        )
    });
    expected.assert_eq(&shown.collect::<String>());
}

#[test]
fn publishes() {
    check(
        &[
            "PUB a 1\r\nx\r\n",
            "PUB a r 1\r\n",
            "PUB a 0\r\n",
            "pub a 1\r\n",
            "PUB  a  1  \r\n",
            "PUB\ta\t1\r\n",
            "PUB a 1\n",
            "PUB a 001\r\n",
            "PUB a 999999999\r\n",
            "PUB a 1000000000\r\n",
            "PUB a.* 1\r\n",
            "PUB a r s 1\r\n",
            "PUB a\r\n",
            "PUB a b\r\n",
            "PUB a -1\r\n",
            "PUB a +1\r\n",
            "PUB a 1x\r\n",
            "PUB \r\n",
            "PUB\r\n",
            "PUBX a 1\r\n",
            "PUB a 1",
            "PUB a 1\r",
        ],
        expect![[r#"
            PUB a 1\r\nx\r\n                   PUB a 1, respelled, 9 bytes
            PUB a r 1\r\n                      PUB a reply r 1, 11 bytes
            PUB a 0\r\n                        PUB a 0, respelled, 9 bytes
            pub a 1\r\n                        PUB a 1, respelled, 9 bytes
            PUB  a  1  \r\n                    PUB a 1, respelled, 13 bytes
            PUB\ta\t1\r\n                      PUB a 1, respelled, 9 bytes
            PUB a 1\n                          PUB a 1, respelled, 8 bytes
            PUB a 001\r\n                      PUB a 1, respelled, 11 bytes
            PUB a 999999999\r\n                PUB a 999999999, respelled, 17 bytes
            PUB a 1000000000\r\n               BadArguments
            PUB a.* 1\r\n                      PUB a.* 1, 11 bytes
            PUB a r s 1\r\n                    BadArguments
            PUB a\r\n                          BadArguments
            PUB a b\r\n                        BadArguments
            PUB a -1\r\n                       BadArguments
            PUB a +1\r\n                       BadArguments
            PUB a 1x\r\n                       BadArguments
            PUB \r\n                           BadArguments
            PUB\r\n                            UnknownOperation
            PUBX a 1\r\n                       UnknownOperation
            PUB a 1                            incomplete
            PUB a 1\r                          incomplete
        "#]],
    );
}

#[test]
fn publishes_with_headers() {
    check(
        &[
            "HPUB a 12 13\r\n",
            "HPUB a r 12 13\r\n",
            "hpub a 12 13\r\n",
            "HPUB a 0 5\r\n",
            "HPUB a 5 5\r\n",
            "HPUB a 5 4\r\n",
            "HPUB a 05 5\r\n",
            "HPUB a 5\r\n",
            "HPUB a r s 5 5\r\n",
            "HPUB a x 5\r\n",
            "HPUB\r\n",
        ],
        expect![[r#"
            HPUB a 12 13\r\n                   HPUB a 12 of 13, 14 bytes
            HPUB a r 12 13\r\n                 HPUB a reply r 12 of 13, 16 bytes
            hpub a 12 13\r\n                   HPUB a 12 of 13, respelled, 14 bytes
            HPUB a 0 5\r\n                     HPUB a 0 of 5, respelled, 12 bytes
            HPUB a 5 5\r\n                     HPUB a 5 of 5, 12 bytes
            HPUB a 5 4\r\n                     BadArguments
            HPUB a 05 5\r\n                    HPUB a 5 of 5, respelled, 13 bytes
            HPUB a 5\r\n                       BadArguments
            HPUB a r s 5 5\r\n                 BadArguments
            HPUB a x 5\r\n                     BadArguments
            HPUB\r\n                           UnknownOperation
        "#]],
    );
}

#[test]
fn subscriptions() {
    check(
        &[
            "SUB a 1\r\n",
            "SUB a q 1\r\n",
            "sub\ta\tq\t1\n",
            "SUB  a   1 \r\n",
            "SUB a\r1\r\n",
            "SUB a\r\n",
            "SUB a b c d\r\n",
            "SUB\r\n",
            "SUB\n",
            "SUBX\r\n",
            "UNSUB 1\r\n",
            "UNSUB 1 5\r\n",
            "unsub 1 005\r\n",
            "UNSUB 1 x\r\n",
            "UNSUB 1 -5\r\n",
            "UNSUB 1 1000000000\r\n",
            "UNSUB 1 2 3\r\n",
            "UNSUB \r\n",
            "UNSUB\r\n",
        ],
        expect![[r#"
            SUB a 1\r\n                        SUB a as 1, 9 bytes
            SUB a q 1\r\n                      SUB a of q as 1, 11 bytes
            sub\ta\tq\t1\n                     SUB a of q as 1, 10 bytes
            SUB  a   1 \r\n                    SUB a as 1, 13 bytes
            SUB a\r1\r\n                       SUB a as 1, 9 bytes
            SUB a\r\n                          BadArguments
            SUB a b c d\r\n                    BadArguments
            SUB\r\n                            UnknownOperation
            SUB\n                              UnknownOperation
            SUBX\r\n                           UnknownOperation
            UNSUB 1\r\n                        UNSUB 1 None, 9 bytes
            UNSUB 1 5\r\n                      UNSUB 1 Some(5), 11 bytes
            unsub 1 005\r\n                    UNSUB 1 Some(5), 13 bytes
            UNSUB 1 x\r\n                      UNSUB 1 None, 11 bytes
            UNSUB 1 -5\r\n                     UNSUB 1 None, 12 bytes
            UNSUB 1 1000000000\r\n             UNSUB 1 None, 20 bytes
            UNSUB 1 2 3\r\n                    BadArguments
            UNSUB \r\n                         BadArguments
            UNSUB\r\n                          UnknownOperation
        "#]],
    );
}

#[test]
fn the_others() {
    check(
        &[
            "PING\r\n",
            "ping\n",
            "PINGX\r\n",
            "PING abc\r\n",
            "PING",
            "PONG\r\n",
            "+OK\r\n",
            "+ok\r\n",
            "-ERR 'x'\r\n",
            "-ERR\r\n",
            "INFO {}\r\n",
            "INFO\r\n",
            "CONNECT {}\r\n",
            "CONNECT{}\r\n",
            "CONNECT \t{} \r\n",
            "connect\r\n",
        ],
        expect![[r#"
            PING\r\n                           PING, 6 bytes
            ping\n                             PING, 5 bytes
            PINGX\r\n                          PING, 7 bytes
            PING abc\r\n                       PING, 10 bytes
            PING                               incomplete
            PONG\r\n                           PONG, 6 bytes
            +OK\r\n                            +OK, 5 bytes
            +ok\r\n                            +OK, 5 bytes
            -ERR \'x\'\r\n                     -ERR 'x', 10 bytes
            -ERR\r\n                           UnknownOperation
            INFO {}\r\n                        INFO {}, 9 bytes
            INFO\r\n                           INFO , 6 bytes
            CONNECT {}\r\n                     CONNECT {}, 12 bytes
            CONNECT{}\r\n                      CONNECT {}, 11 bytes
            CONNECT \t{} \r\n                  CONNECT {} , 14 bytes
            connect\r\n                        CONNECT , 9 bytes
        "#]],
    );
}

#[test]
fn what_is_no_operation() {
    check(
        &[
            "",
            "P",
            "PU",
            "PX",
            "X",
            "\r\n",
            "\0",
            "é",
            " PING\r\n",
            "INFOX\r\n",
            "+O",
            "+X",
            "-E",
            "-X",
        ],
        expect![[r#"
                                               incomplete
            P                                  incomplete
            PU                                 incomplete
            PX                                 UnknownOperation
            X                                  UnknownOperation
            \r\n                               UnknownOperation
            \0                                 UnknownOperation
            é                                  UnknownOperation
             PING\r\n                          UnknownOperation
            INFOX\r\n                          INFO X, 7 bytes
            +O                                 incomplete
            +X                                 UnknownOperation
            -E                                 incomplete
            -X                                 UnknownOperation
        "#]],
    );
}

/// The limit is on what follows the verb, without its line's end.
#[test]
fn control_lines_have_a_limit() {
    let line = |len: usize, end: &str| format!("SUB {} 1{end}", "x".repeat(len - 2));
    let fits = |text: &str| {
        !matches!(
            parse(text.as_bytes(), CONTROL_LINE_BYTES_MAX),
            Step::Fault(_)
        )
    };
    for end in ["\r\n", "\n", "\r", ""] {
        assert!(fits(&line(CONTROL_LINE_BYTES_MAX, end)), "{end:?}");
        assert!(!fits(&line(CONTROL_LINE_BYTES_MAX + 1, end)), "{end:?}");
    }
    let publish = |len: usize| format!("PUB {} 1\r\n{}", "x".repeat(len - 2), "y".repeat(80));
    assert!(fits(&publish(CONTROL_LINE_BYTES_MAX)));
    assert!(!fits(&publish(CONTROL_LINE_BYTES_MAX + 1)));
}

/// Pieces that lines are made of, good and bad ones.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "PUB",
        "HPUB",
        "pub",
        "SUB",
        "UNSUB",
        "PING",
        " ",
        " ",
        " ",
        "\t",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "a",
        "a.b",
        "foo.*",
        "reply.to",
        "0",
        "1",
        "12",
        "012",
        "999999999",
        "9999999999",
        "-1",
        "x",
        "\0",
        "é",
        "\u{1}",
        "a.long.subject.that.fills.the.window.of.the.fast.path",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

/// A publish as clients spell it, with payload behind it.
fn usual() -> impl Strategy<Value = Vec<u8>> {
    (
        "[a-z.]{1,40}",
        prop::option::of("[a-z.]{1,20}"),
        prop::option::of(0..50u32),
        0..2_000_000_000u64,
    )
        .prop_map(|(subject, reply, header, total)| {
            let reply = reply.map_or(String::new(), |reply| format!("{reply} "));
            match header {
                Some(header) => format!("HPUB {subject} {reply}{header} {total}\r\n"),
                None => format!("PUB {subject} {reply}{total}\r\n"),
            }
            .into_bytes()
        })
}

proptest! {
    #[test]
    fn the_fast_path_says_what_the_slow_one_says(
        line in prop_oneof![line(), usual()],
        behind in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let input = [line, behind].concat();
        if let Some(fast) = publish_fast(&input) {
            let Step::Op(Op::Publish(slow), len) = parse_any(&input, usize::MAX) else {
                return Err(TestCaseError::fail("the slow path takes it for something else"));
            };
            prop_assert_eq!(len, fast.body as usize);
            let reply = if fast.reply_len == 0 { slow.reply } else { fast.reply };
            prop_assert_eq!(PublishLine { canonical: false, reply, ..fast }, slow);
            // Canonical is: what stands between the subject and the payload is how a delivery would spell it.
            let tail = &input[(fast.subject + fast.subject_len + 1) as usize..fast.body as usize];
            let reply = String::from_utf8_lossy(&input[fast.reply as usize..][..fast.reply_len as usize]).into_owned();
            let reply = if reply.is_empty() { reply } else { reply + " " };
            let header = if fast.headers { format!("{} ", fast.header_len) } else { String::new() };
            let spelled = format!("{reply}{header}{}\r\n", fast.total_len);
            prop_assert_eq!(String::from_utf8_lossy(tail), spelled);
        }
    }

    #[test]
    fn more_bytes_never_change_what_was_read(line in prop_oneof![line(), usual()], cut in any::<prop::sample::Index>()) {
        let cut = cut.index(line.len() + 1);
        let (part, whole) = (parse(&line[..cut], CONTROL_LINE_BYTES_MAX), parse(&line, CONTROL_LINE_BYTES_MAX));
        match part {
            Step::Incomplete => {}
            Step::Fault(fault) => prop_assert_eq!(whole, Step::Fault(fault)),
            Step::Op(Op::Publish(part), len) => {
                let Step::Op(Op::Publish(whole), whole_len) = whole else {
                    return Err(TestCaseError::fail("no publish any more"));
                };
                prop_assert_eq!(PublishLine { canonical: whole.canonical, reply: whole.reply, ..part }, whole);
                prop_assert_eq!(len, whole_len);
            }
            part => prop_assert_eq!(part, whole),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..200), max in 0..300usize) {
        let _ = parse(&input, max);
        let _ = parse_any(&input, max);
    }
}
