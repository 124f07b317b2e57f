//! A virtual device that cannot be made is an error that names it, though others can.
//! One test, for the EAL can be started once per process.

use dpdk_bindings::{Eal, EalConfig, Error, Memory};

#[test]
fn bad_vdev() {
    let mut config = EalConfig::new("bad_vdev", Memory::NoHuge { megabytes: 32 });
    config.vdevs = vec!["net_ring0".into(), "net_nonesuch0,iface=x".into()];
    let Err(error) = Eal::start(&config) else { panic!("started") };
    println!("{error}");
    assert!(matches!(&error, Error::NoDriver { device } if device == "net_nonesuch0,iface=x"), "{error}");
    assert!(matches!(Eal::start(&config), Err(Error::EalStartedBefore)));
}
