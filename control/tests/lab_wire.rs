//! The lab itself, with `dpdk-testpmd` as a plain wire in the appliance's place.

use std::time::Duration;

use control::lab::{Lab, Net, Pmd, isolated};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_quadrille");
const SOON: Duration = Duration::from_secs(5);

#[test]
fn echoes_cross_in_every_network() {
    isolated("echoes_cross_in_every_network", |inside| {
        let lab = Lab::builder(inside, EXECUTABLE).vlan().build()?;
        let _wire = lab.testpmd(Pmd::AfPacket)?;
        for net in [Net::V4, Net::V6, Net::Vlan4, Net::Vlan6] {
            lab.client().wait_for_echo(lab.server().address(net), SOON)?;
        }
        Ok(())
    });
}
