//! What a configuration is proven against; an argument, so that tests run on machines that they do not have.

/// The machine, as far as a configuration can contradict it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Ids of the cores that this process may run on, ascending.
    pub cores: Vec<usize>,
}

impl Machine {
    /// The machine that this process runs on. A container's cpuset and `taskset` count: what the process may not
    /// use does not exist for it.
    pub fn this() -> Machine {
        let ids = core_affinity::get_core_ids().unwrap_or_default();
        let mut cores: Vec<usize> = ids.into_iter().map(|core| core.id).collect();
        cores.sort_unstable();
        Machine { cores }
    }

    /// `0-3, 8`: for messages.
    pub fn core_list(&self) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for &core in &self.cores {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == core => *last = core,
                _ => ranges.push((core, core)),
            }
        }
        let show = |(first, last): &(usize, usize)| match last - first {
            0 => first.to_string(),
            _ => format!("{first}-{last}"),
        };
        ranges.iter().map(show).collect::<Vec<_>>().join(", ")
    }
}
