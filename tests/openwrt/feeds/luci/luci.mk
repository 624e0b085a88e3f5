# Stands in for the luci.mk of OpenWrt's luci feed:
#   info   what the package says of itself
#   stage  installs it as that does: htdocs into /www, root into /
FIELDS = LUCI_TITLE LUCI_DESCRIPTION LUCI_DEPENDS LUCI_URL LUCI_PKGARCH \
	PKG_MAINTAINER PKG_LICENSE
ROOT = $(OUT)/root/$(notdir $(CURDIR))
LANGUAGES = $(filter-out templates,$(notdir $(wildcard po/*)))

$(foreach f,$(FIELDS),$(info $(f) $($(f))))
$(info LANGUAGES $(LANGUAGES))
.PHONY: info stage
info:
	@:
stage:
	mkdir -p $(ROOT)/www
	cp -pR htdocs/. $(ROOT)/www/
	cp -pR root/. $(ROOT)/
