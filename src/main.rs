//! The `gannet` binary: parse the command line, boot, exit code.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    let mut c = gannet::config::Config::default();
    let a: Vec<String> = std::env::args().collect();
    for w in a.windows(2) {
        match w[0].as_str() {
            "-p" | "--port" => c.port = w[1].parse().unwrap(),
            "--shards" => c.shards.count = w[1].parse().ok(),
            "--io" => {
                if w[1] == "epoll" {
                    c.shards.io = gannet::config::IoChoice::Epoll
                }
            }
            "--spin" => {
                c.shards.spin = match w[1].as_str() {
                    "off" => gannet::config::Spin::Off,
                    "auto" => gannet::config::Spin::Adaptive,
                    n => gannet::config::Spin::Fixed(n.parse().unwrap()),
                }
            }
            _ => {}
        }
    }
    gannet::control::boot::run(c)
}
