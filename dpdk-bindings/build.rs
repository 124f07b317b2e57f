//! Finds libdpdk, compiles the shim for its static inlines, and generates the few bindings that the crate uses.
//!
//! What may be generated is listed by name: a function, a type or a constant that is not in the lists below is not
//! part of the crate's surface, and cannot break its build on another DPDK release. Structures whose layout moved
//! between releases (`rte_mbuf`, `rte_eth_link`, `rte_eth_stats`) are opaque; `shim.h` has the offsets or accessors.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The oldest long-term release that is supported.
const MIN_VERSION: &str = "22.11";

/// The shared libraries whose symbols are used. Drivers are plugins that the EAL loads by itself.
const LIBRARIES: [&str; 5] = ["rte_eal", "rte_ethdev", "rte_mbuf", "rte_mempool", "rte_ring"];

const FUNCTIONS: [&str; 29] = [
    "qdr_.*",
    "rte_eal_cleanup",
    "rte_eal_hotplug_add",
    "rte_eth_allmulticast_enable",
    "rte_eth_dev_adjust_nb_rx_tx_desc",
    "rte_eth_dev_close",
    "rte_eth_dev_configure",
    "rte_eth_dev_get_mtu",
    "rte_eth_dev_get_port_by_name",
    "rte_eth_dev_info_get",
    "rte_eth_dev_rss_reta_update",
    "rte_eth_dev_set_link_down",
    "rte_eth_dev_set_link_up",
    "rte_eth_dev_set_mtu",
    "rte_eth_dev_socket_id",
    "rte_eth_dev_start",
    "rte_eth_dev_stop",
    "rte_eth_macaddr_get",
    "rte_eth_promiscuous_enable",
    "rte_eth_rx_queue_setup",
    "rte_eth_tx_queue_setup",
    "rte_eth_xstats_get",
    "rte_eth_xstats_get_names",
    "rte_mempool_avail_count",
    "rte_mempool_in_use_count",
    "rte_pktmbuf_pool_create",
    "rte_strerror",
    "rte_thread_register",
    "rte_thread_unregister",
];

const TYPES: [&str; 8] = [
    "rte_eth_conf",
    "rte_eth_dev_info",
    "rte_eth_rss_reta_entry64",
    "rte_eth_rxconf",
    "rte_eth_txconf",
    "rte_eth_xstat",
    "rte_eth_xstat_name",
    "rte_ether_addr",
];

const CONSTANTS: [&str; 5] =
    ["QDR_.*", "RTE_ETH_MQ_RX_NONE", "RTE_ETH_MQ_RX_RSS", "RTE_ETH_RETA_GROUP_SIZE", "RTE_PKTMBUF_HEADROOM"];

/// Only ever handled by pointer, or through the shim.
const OPAQUE: [&str; 6] =
    ["rte_mbuf", "rte_mempool", "rte_device", "rte_eth_fdir_conf", "rte_arp_hdr", "rte_arp_ipv4"];

fn main() {
    for path in ["build.rs", "src/shim.c", "src/shim.h"] {
        println!("cargo:rerun-if-changed={path}");
    }
    let cflags = find_dpdk();
    compile_shim(&cflags);
    generate_bindings(&cflags);
}

/// Emits what the linker needs and returns the C flags, without which DPDK's headers do not compile.
fn find_dpdk() -> Vec<String> {
    let library = pkg_config::Config::new()
        .atleast_version(MIN_VERSION)
        .cargo_metadata(false)
        .probe("libdpdk")
        .unwrap_or_else(|error| {
            eprintln!("{error}");
            panic!(
                "libdpdk {MIN_VERSION} or newer was not found: `apt-get install libdpdk-dev` on Debian or Ubuntu, \
                 or point PKG_CONFIG_PATH at the folder of your own build's libdpdk.pc"
            )
        });
    for path in &library.link_paths {
        println!("cargo:rustc-link-search=native={}", path.display());
    }
    for name in LIBRARIES {
        println!("cargo:rustc-link-lib=dylib={name}");
    }
    // The crate `pkg-config` drops `-include rte_config.h` and `-march`, and the headers need both.
    let pkg_config = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(&pkg_config).args(["--cflags", "libdpdk"]).output();
    let output = output.unwrap_or_else(|error| panic!("{pkg_config} --cflags libdpdk: {error}"));
    assert!(output.status.success(), "{pkg_config} --cflags libdpdk: {}", output.status);
    String::from_utf8_lossy(&output.stdout).split_whitespace().map(String::from).collect()
}

fn compile_shim(cflags: &[String]) {
    let mut build = cc::Build::new();
    for flag in cflags {
        build.flag(flag);
    }
    // DPDK's own inlines are not clean under -Wextra.
    build.define("ALLOW_EXPERIMENTAL_API", None).opt_level(3).extra_warnings(false);
    build.file("src/shim.c").compile("qdr_dpdk_shim");
}

fn generate_bindings(cflags: &[String]) {
    let mut builder = bindgen::Builder::default()
        .header("src/shim.h")
        .clang_args(cflags)
        .clang_arg("-DALLOW_EXPERIMENTAL_API")
        .rust_edition(bindgen::RustEdition::Edition2024)
        .prepend_enum_name(false)
        .generate_comments(false)
        .derive_debug(false)
        .layout_tests(true)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in CONSTANTS {
        builder = builder.allowlist_var(name);
    }
    for name in OPAQUE {
        builder = builder.opaque_type(name);
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR")).join("bindings.rs");
    let bindings = builder.generate().expect(
        "bindgen could not read DPDK's headers; it needs libclang: `apt-get install clang libclang-dev libdpdk-dev`",
    );
    bindings.write_to_file(&out).expect("OUT_DIR is writable");
}
