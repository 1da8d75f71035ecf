//! From the options of limits to what each task may use.

use crate::args::{LimitArgument, LimitOptions};
use rwasm_cluster::{DETERMINISTIC_FUEL, Limits};

/// What each task may use.
pub(crate) fn limits(options: &LimitOptions, deterministic: bool) -> Limits {
    let mut limits = Limits::default();
    limits.time = options.timeout;
    limits.memory = options.memory;
    limits.fuel = options.fuel.or(deterministic.then_some(DETERMINISTIC_FUEL));
    for limit in &options.limits {
        match *limit {
            LimitArgument::Input(size) => limits.input = size,
            LimitArgument::Output(size) => limits.output = size,
            LimitArgument::Logs(size) => limits.logs = size,
            LimitArgument::TableElements(number) => limits.table_elements = number,
            LimitArgument::Handles(number) => limits.handles = number,
            LimitArgument::Stack(size) => limits.stack = size,
            LimitArgument::Random(size) => limits.random = size,
            LimitArgument::Written(size) => limits.written = size,
            LimitArgument::Files(number) => limits.files = number,
            LimitArgument::Inflated(size) => limits.inflated = size,
            LimitArgument::Module(size) => limits.module = size,
            LimitArgument::Wall(time) => limits.wall = Some(time),
            LimitArgument::CompileTime(time) => limits.compile_time = time,
            LimitArgument::CompileMemory(size) => limits.compile_memory = size,
            LimitArgument::Compiled(size) => limits.compiled = size,
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::LIMITS;

    #[test]
    fn the_table_of_limits_has_their_names_and_defaults() {
        let all = LIMITS.map(|(name, default, _)| {
            let (name, _) = name.split_once('=').expect("it has a unit");
            let default = default.replace("10 times --timeout", "300s");
            format!("{name}={default}").parse().expect("it is a limit")
        });
        let mut defaults = Limits::default();
        defaults.wall = Some(defaults.wall());
        let options = LimitOptions {
            timeout: defaults.time,
            memory: defaults.memory,
            fuel: defaults.fuel,
            limits: all.to_vec(),
        };
        assert_eq!(limits(&options, false), defaults);
    }
}
