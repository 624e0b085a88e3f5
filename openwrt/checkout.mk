# With this file beside it a package is built from the checkout around it, in
# whatever state that is: so a checkout is a feed (docs/openwrt.md).  Without it
# from the release that PKG_SOURCE names: feed.sh makes such folders for OpenWrt's
# packages feed.
XAPSD_TREE:=$(abspath $(CURDIR)/../..)

# The version is that in the program's Makefile; apk wants 1.0_rc1.
PKG_VERSION:=$(subst -,_,$(shell sed -n 's/^VERSION = //p' $(XAPSD_TREE)/Makefile))
PKG_SOURCE:=
PKG_SOURCE_URL:=
PKG_HASH:=

# Build again when the sources change, which are not in the package's folder.
PKG_FILE_DEPENDS:=$(filter-out $(addprefix $(XAPSD_TREE)/,build dist docs tests xapsd), \
	$(wildcard $(XAPSD_TREE)/*))

# build/ and dist/ hold other machines' objects.
PKG_UNPACK=mkdir -p $(PKG_BUILD_DIR) && tar -C $(XAPSD_TREE) --exclude=./build \
	--exclude=./dist --exclude=./xapsd --exclude=./.git -cf - . | \
	tar -C $(PKG_BUILD_DIR) -xf -
