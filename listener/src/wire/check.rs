//! What a message of the right length may not say.

use super::*;

fn known_outcome(outcome: u8) -> Result<(), Invalid> {
    if outcome > outcome::SILENT { Err(Invalid::Outcome(outcome)) } else { Ok(()) }
}

impl Hello {
    pub(super) fn checked(self) -> Result<Self, Invalid> {
        match self {
            Hello { magic, .. } if magic != MAGIC => Err(Invalid::Magic(magic)),
            Hello { version, .. } if version != VERSION => Err(Invalid::Version(version)),
            hello => Ok(hello),
        }
    }
}

impl Offer {
    pub(super) fn checked(self) -> Result<Self, Invalid> {
        if usize::from(self.syn_length) > MAX_SYN {
            return Err(Invalid::SynLength(self.syn_length));
        }
        if !matches!(self.family, 4 | 6) {
            return Err(Invalid::Family(self.family));
        }
        known_outcome(self.answer.outcome)?;
        known_outcome(self.server_past.outcome)?;
        known_outcome(self.client_past.outcome)?;
        Ok(self)
    }
}

impl Action {
    /// What a later version will have a meaning for must not be accepted by this one with none.
    pub(super) fn checked(self) -> Result<Self, Invalid> {
        if !(action::DROP..=action::FORWARD).contains(&self.action) {
            return Err(Invalid::Action(self.action));
        }
        if self.rejection > rejection::ICMP {
            return Err(Invalid::Rejection(self.rejection));
        }
        let icmp = self.action == action::REJECT && self.rejection == rejection::ICMP;
        let codes = [self.icmp4_type, self.icmp4_code, self.icmp6_type, self.icmp6_code, self.from];
        let stray = self.reserved != 0
            || self.from & !(from::V4 | from::V6) != 0
            || (self.rejection != 0 && self.action != action::REJECT)
            || (!icmp && codes != [0; 5])
            || (self.from & from::V4 == 0 && self.from_v4 != [0; 4])
            || (self.from & from::V6 == 0 && self.from_v6 != [0; 16])
            || (self.consult_ms != 0 && self.action != action::PROXY)
            || self.has_stray_places();
        if stray { Err(Invalid::Reserved) } else { Ok(self) }
    }

    fn has_stray_places(&self) -> bool {
        let usable = match self.action {
            action::PROXY => towards::SERVER | towards::CLIENT | towards::HOP,
            action::FORWARD => towards::HOP,
            _ => 0,
        };
        let lacks = |place| self.towards & place == 0;
        let has_address = self.towards & (towards::SERVER | towards::CLIENT) != 0;
        self.towards & !usable != 0
            || self.reserved_too != 0
            || (lacks(towards::SERVER) && (self.server != [0; 16] || self.server_port != 0))
            || (lacks(towards::CLIENT) && self.client != [0; 16])
            || (lacks(towards::MAC) && self.next_mac != [0; 6])
            || (lacks(towards::VLANS) && (self.outer_vlan, self.inner_vlan) != (0, 0))
            || (lacks(towards::PORT) && self.next_port != 0)
            || if has_address { !matches!(self.family, 4 | 6) } else { self.family != 0 }
    }
}
