# Stands in for the package.mk of OpenWrt's buildroot.
#   info   what each package says of itself, "PACKAGE FIELD VALUE" a line
#   stage  builds, and installs each package into $(OUT)/root/PACKAGE
# A package with PKG_SOURCE is unpacked from $(DL_DIR), if the hash is right.
PKG_BUILD_DIR ?= $(BUILD_DIR)/$(PKG_NAME)-$(PKG_VERSION)
PKG_UNPACK ?= cd $(DL_DIR) && echo "$(PKG_HASH)  $(PKG_SOURCE)" | \
	sha256sum -c --quiet && tar -C $(PKG_BUILD_DIR)/.. -xzf $(PKG_SOURCE)
Build/Prepare = $(PKG_UNPACK)
MAKE_FLAGS = CC=$(CC) AR=$(AR)

FIELDS = SECTION CATEGORY TITLE URL DEPENDS EXTRA_DEPENDS USERID
PKG_FIELDS = PKG_NAME PKG_VERSION PKG_RELEASE PKG_MAINTAINER PKG_LICENSE \
	PKG_LICENSE_FILES PKG_BUILD_DEPENDS PKG_FILE_DEPENDS PKG_CONFIG_DEPENDS \
	PKG_SOURCE PKG_SOURCE_URL PKG_HASH MAKE_FLAGS

# $(info) sees the text as it is, indentation and all.
define BuildPackage
$(foreach f,$(FIELDS),$(eval $(f) =))
$(eval $(Package/$(1)))
$(foreach f,$(FIELDS),$(info $(1) $(f) $($(f))))
$(foreach f,$(PKG_FIELDS),$(info $(1) $(f) $($(f))))
$(info $(1) conffiles)
$(info $(Package/$(1)/conffiles))
$(info $(1) end)
$(if $(Package/$(1)/description),,$(error $(1) has no description))
stage: stage-$(1)
stage-$(1): compile
	$(call Package/$(1)/install,$(OUT)/root/$(1))
endef

.PHONY: info compile stage
info:
	@:
compile:
	mkdir -p $(PKG_BUILD_DIR)
	$(Build/Prepare)
	CFLAGS="$(TARGET_CFLAGS)" LDFLAGS="$(TARGET_LDFLAGS)" \
		$(MAKE) -C $(PKG_BUILD_DIR) $(MAKE_FLAGS)
