//! Which index means which module, for as long as anything refers to it.
//!
//! Workers, flows and partial connections name a module by its index, so an index keeps its meaning over any number of
//! reloads: a module that is configured as before keeps its index (and its state), another one gets an index that nothing
//! refers to, and what is configured no longer keeps its index until the flows that it was offered are gone.

use std::collections::BTreeSet;
use std::path::Path;

use crate::config::validated::{Module, ModuleKind};

/// The most indices: twice what one configuration can have, and as many of former ones.
pub(super) const MOST: usize = 2048;

/// Every index in use, past or present.
#[derive(Debug, Clone)]
pub(super) struct Modules {
    table: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    module: Module,
    is_configured: bool,
    /// Its programs were let go: it is not what its configuration says any more.
    is_retired: bool,
}

/// There is no index left that nothing refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// What another configuration's modules come to.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    /// The table as it is then.
    pub(super) modules: Modules,
    /// By number in the configuration: the index.
    pub(super) indices: Vec<u16>,
    /// Indices that mean another module then.
    pub(super) new: Vec<u16>,
    /// Indices of modules that are configured no longer and have to let go of who is connected to them.
    pub(super) retired: Vec<u16>,
}

impl Modules {
    /// Of the first configuration: an index is the number there.
    pub(super) fn new(modules: &[Module]) -> Modules {
        Modules {
            table: modules
                .iter()
                .map(|module| Entry { module: module.clone(), is_configured: true, is_retired: false })
                .collect(),
        }
    }

    /// The module with this index.
    pub(super) fn get(&self, index: u16) -> Option<&Module> {
        self.table.get(usize::from(index)).map(|entry| &entry.module)
    }

    /// The first configured module of this name.
    pub(super) fn index(&self, name: &str) -> Option<u16> {
        let is_meant = |entry: &Entry| entry.is_configured && entry.module.name == name;
        self.table.iter().position(is_meant).map(|index| index as u16)
    }

    /// The socket of `module` where one of these has it that has not let go of it.
    pub(super) fn has_socket_of<'a>(&self, module: &'a Module) -> Option<&'a Path> {
        let ModuleKind::Program(program) = &module.kind else { return None };
        let wanted = program.socket.as_path();
        let has = |entry: &Entry| matches!(&entry.module.kind, ModuleKind::Program(program) if program.socket == wanted);
        self.table.iter().any(|entry| !entry.is_retired && has(entry)).then_some(wanted)
    }

    /// Whether [`Modules::place`] may need to know what is in use.
    pub(super) fn is_crowded(&self, wanted: usize) -> bool {
        self.table.len() + wanted > MOST
    }

    /// Finds an index for each module of another configuration. Those that are configured no longer are free unless they are
    /// `in_use`; without that nothing is known of them, and new modules are appended.
    pub(super) fn place(&self, wanted: &[Module], in_use: Option<&BTreeSet<u16>>) -> Result<Placed, Full> {
        let mut modules = self.clone();
        let is_free = |(index, entry): (usize, &Entry)| {
            let is_used = in_use.is_none_or(|in_use| in_use.contains(&(index as u16)));
            (!entry.is_configured && !is_used && !wanted.contains(&entry.module)).then_some(index as u16)
        };
        let mut free: Vec<u16> = self.table.iter().enumerate().filter_map(is_free).collect();
        modules.table.iter_mut().for_each(|entry| entry.is_configured = false);
        let (mut indices, mut new) = (Vec::with_capacity(wanted.len()), Vec::new());
        for module in wanted {
            let entry = Entry { module: module.clone(), is_configured: true, is_retired: false };
            let known = modules
                .table
                .iter()
                .position(|entry| !entry.is_configured && !entry.is_retired && entry.module == *module);
            let index = match known {
                Some(index) => index,
                None => {
                    let index = free.pop().map_or(modules.table.len(), usize::from);
                    new.push(index as u16);
                    index
                }
            };
            match modules.table.get_mut(index) {
                Some(place) => *place = entry,
                None if index == MOST => return Err(Full),
                None => modules.table.push(entry),
            }
            indices.push(index as u16);
        }
        let mut retired = Vec::new();
        for (index, entry) in modules.table.iter_mut().enumerate() {
            let has_programs = matches!(entry.module.kind, ModuleKind::Program(_));
            if has_programs && !entry.is_configured && !std::mem::replace(&mut entry.is_retired, true) {
                retired.push(index as u16);
            }
        }
        Ok(Placed { modules, indices, new, retired })
    }
}

#[cfg(test)]
mod tests {
    use dataplane::flow::far::NextHop;

    use super::*;
    use crate::config::validated::{Acknowledge, Isn, Merge, ServerAck};

    fn module(name: &str, bytes: u64) -> Module {
        Module {
            cookies: Default::default(),
            name: name.into(),
            kind: ModuleKind::Relay,
            merge: Merge::AfterBytes(bytes),
            server_ack: ServerAck::AfterClient,
            isn: Isn::Mirror,
            acknowledge: Acknowledge::Receipt,
            client_first: None,
            servers: Vec::new(),
            clients: Vec::new(),
            hop: NextHop::default(),
            together: None,
            tunnel: None,
        }
    }

    #[test]
    fn an_index_keeps_its_meaning_while_anything_may_refer_to_it() {
        let first = Modules::new(&[module("a", 1), module("b", 1)]);
        // `a` is another module now, `b` is the one that it was.
        let second = first.place(&[module("a", 2), module("b", 1)], None).unwrap();
        assert_eq!((second.indices, second.new), (vec![2, 1], vec![2]));
        assert_eq!(second.modules.get(0), Some(&module("a", 1)), "for the flows that have it");
        // As at first: nothing is new.
        let third = second.modules.place(&[module("a", 1), module("b", 1)], None).unwrap();
        assert_eq!((third.indices, third.new), (vec![0, 1], vec![]));
        // Of 0, 1 and 2 only 2 is configured no longer, and no flow has it.
        let fourth = third.modules.place(&[module("c", 1)], Some(&BTreeSet::from([0, 1]))).unwrap();
        assert_eq!((fourth.indices, fourth.new), (vec![2], vec![2]));
        assert_eq!(fourth.modules.get(2), Some(&module("c", 1)));
        // All are referred to: another index.
        let fifth = fourth.modules.place(&[module("d", 1)], Some(&BTreeSet::from([0, 1, 2]))).unwrap();
        assert_eq!(fifth.indices, [3]);
    }

    #[test]
    fn there_are_so_many_indices_and_no_more() {
        let mut modules = Modules::new(&[]);
        for number in 0..MOST as u64 {
            assert!(!modules.is_crowded(1));
            modules = modules.place(&[module("m", number)], None).unwrap().modules;
        }
        assert!(modules.is_crowded(1));
        assert_eq!(modules.place(&[module("n", 0)], None).map(|_| ()), Err(Full));
        let all_but_one: BTreeSet<u16> = (0..MOST as u16).filter(|index| *index != 7).collect();
        assert_eq!(modules.place(&[module("n", 0)], Some(&all_but_one)).unwrap().indices, [7]);
    }
}
