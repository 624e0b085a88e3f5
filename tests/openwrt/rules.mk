# Stands in for the rules.mk of OpenWrt's buildroot, with this machine's
# compiler: what tests/e2e/test_openwrt.py needs to read and stage a package.
# OUT is where everything goes.
INCLUDE_DIR = $(TOPDIR)/include
BUILD_DIR = $(OUT)/build
STAGING_DIR = $(OUT)/staging
TARGET_CFLAGS ?= -Os
INSTALL_DIR = install -d -m 755
INSTALL_BIN = install -m 755
INSTALL_DATA = install -m 644
INSTALL_CONF = install -m 600
.DEFAULT_GOAL = info
