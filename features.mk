# The features that a build can leave out:
#   make FEATURES="p12 line"   these and no others, separated by blanks or commas
#   make FEATURES=             none: Apple, Unix socket and TCP, the smallest
#   make FEATURES="all -line"  all but one; -line alone means the same
# and the same with static, release, check and so on.
#
# A feature is a list of files, FEATURE.files, and a file that takes their place
# in a build without it, FEATURE.stub, called no-....c: it has the same functions,
# which do nothing or say that the feature is missing.  FEATURE.tests are the unit
# tests and fuzzers that make no sense without it.  Its other part is a row in features.c.
# What each costs is in DESIGN.md, which `make size-table` measures.

FEATURES = all
KNOWN_FEATURES = p12 line go-import tls-listener page shared hooks webpush deltachat fcm brands systemd \
	tls13 doctor csr proxy plugin-check

# PKCS#12 files, and keys that are encrypted with a password
p12.files = tls/p12.c tls/pbe.c
p12.stub = tls/no-p12.c
p12.tests = p12_fuzz

# the line protocol of the first-generation plugin
line.files = api/line.c
line.stub = api/no-line.c
line.tests = line_test line_fuzz

# taking over the Go daemon's database; `export`
go-import.files = store/go.c
go-import.stub = store/no-go.c
go-import.tests = store_go_test go_fuzz

# tlsListenAddr
tls-listener.files = cred/server.c
tls-listener.stub = cred/no-server.c
tls-listener.tests = tls_test

# GET /, for people
page.files = api/page.c api/form.c
page.stub = api/no-page.c
page.tests = form_test form_fuzz

# sd_notify(3), socket activation and priorities for the journal
systemd.files = daemon/systemd.c
systemd.stub = daemon/no-systemd.c

# TLS 1.3, where mbedTLS has it; TLS 1.2 is always there.
tls13.files = tls/tls13.c
tls13.stub = tls/no-tls13.c

# `doctor`
doctor.files = ctl/doctor.c api/unknown.c
doctor.stub = ctl/no-doctor.c api/no-unknown.c

# `csr`
csr.files = ctl/csr.c tls/csr.c
csr.stub = ctl/no-csr.c tls/no-csr.c

# apnsProxy
proxy.files = io/proxy.c
proxy.stub = io/no-proxy.c
proxy.tests = proxy_test proxy_fuzz

# What `check` sees of Dovecot's modules on this machine
plugin-check.files = ctl/modules.c
plugin-check.stub = ctl/no-modules.c
plugin-check.tests = modules_test

# One book of registrations for several nodes, in Valkey or Redis
shared.files = shared.c ctl/shared.c shared/book.c shared/change.c shared/jwt.c shared/once.c \
	shared/probe.c \
	shared/value.c shared/script.c shared/conn.c shared/resp.c shared/addr.c
shared.stub = shared/no-shared.c ctl/no-shared.c
shared.tests = resp_test resp_fuzz shared_addr_test jwt_fuzz

# Web Push to browsers and UnifiedPush apps
webpush.files = webpush.c push/webpush.c tls/ecdh.c io/guard.c io/lookup.c
webpush.stub = no-webpush.c push/no-webpush.c io/no-guard.c
webpush.tests = webpush_test webpush_fuzz guard_test guard_fuzz

# Delta Chat's apps, by their developers' server: deltachatUrl
deltachat.files = push/deltachat.c
deltachat.stub = push/no-deltachat.c
deltachat.tests =

# Firebase Cloud Messaging, for Android: fcmServiceAccount
fcm.files = cred/fcm.c fcm.c push/fcm.c ctl/fcm.c
fcm.stub = cred/no-fcm.c push/no-fcm.c ctl/no-fcm.c
fcm.tests = fcm_test fcm_token_test fcm_fuzz

# brandsDir: several credentials, each for some of the users
brands.files = push/brands.c api/brands.c daemon/brands.c
brands.stub = api/no-brands.c daemon/no-brands.c
brands.tests = users_test users_fuzz

# What apps register for by HTTP: with any of these there is api/apps.c.
APP_KINDS = webpush deltachat fcm

# What shows at length whether phones come: with any of these there is
# push/visits.c.
VISITS = doctor page

# hooksDir: requests of the administrator's own
hooks.files = hook.c hook/template.c push/hook.c daemon/hooks.c ctl/hooks.c
hooks.stub = push/no-hook.c daemon/no-hooks.c ctl/no-hooks.c
hooks.tests = hook_test hook_fuzz

# --- nothing below changes with a new feature ---

comma = ,
wanted := $(subst $(comma), ,$(FEATURES))
left_out := $(patsubst -%,%,$(filter -%,$(wanted)))
with := $(filter-out -% all none,$(wanted))
# Without a word on what is in, what is out is left out of all.
with += $(if $(filter all,$(wanted)),$(KNOWN_FEATURES),$(if \
	$(filter-out -%,$(wanted)),,$(if $(left_out),$(KNOWN_FEATURES))))
unknown := $(filter-out $(KNOWN_FEATURES),$(with) $(left_out))
ifneq ($(unknown),)
$(error FEATURES: unknown: $(unknown).  Known are: all none $(KNOWN_FEATURES))
endif
WITH := $(strip $(filter-out $(left_out),$(filter $(with),$(KNOWN_FEATURES))))
WITHOUT := $(filter-out $(WITH),$(KNOWN_FEATURES))

FEATURE_SRCS = $(foreach f,$(WITH),$($f.files)) \
	$(foreach f,$(WITHOUT),$($f.stub)) \
	$(if $(filter brands hooks,$(WITH)),users.c daemon/folder.c,no-users.c) \
	$(if $(filter $(APP_KINDS),$(WITH)),api/apps.c push/foreign.c ctl/app.c, \
		api/no-apps.c push/no-foreign.c ctl/no-app.c) \
	$(if $(filter $(APP_KINDS) hooks,$(WITH)),api/kinds.c send/h1.c push/origins.c, \
		api/no-kinds.c send/no-h1.c push/no-origins.c) \
	$(if $(filter $(APP_KINDS) hooks brands,$(WITH)),send/gate.c,send/no-gate.c) \
	$(if $(filter $(VISITS),$(WITH)),push/visits.c push/day.c,push/no-visits.c)
# -DXAPSD_WITHOUT_GO_IMPORT and so on
FEATURE_FLAGS := -DXAPSD_FEATURES='"$(WITH)"' $(addprefix -DXAPSD_WITHOUT_, \
	$(shell echo $(WITHOUT) | tr a-z- A-Z_))
UNUSED_TESTS = $(foreach f,$(WITHOUT),$($f.tests)) \
	$(if $(filter $(VISITS),$(WITH)),,visits_test) \
	$(if $(filter $(APP_KINDS) hooks,$(WITH)),,h1_test h1_fuzz)
