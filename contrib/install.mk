# install and uninstall, included by the Makefile. Binaries are expected in $(BIN).
#
#   make install                         to /usr/local
#   make install PREFIX=/usr DESTDIR=x   for a package, below x

PREFIX  ?= /usr/local
DESTDIR ?=
BIN     ?= bin

BINDIR         = $(PREFIX)/bin
SHAREDIR       = $(PREFIX)/share
UNITDIR        = $(PREFIX)/lib/systemd/system
SYSUSERSDIR    = $(PREFIX)/lib/sysusers.d
INSTALL        = install

# Where this file is, so that it works from everywhere.
CONTRIB       := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

PROGRAMS       = gantryd gantry-supervisor gantry-init gantry
UNITS          = gantryd.service gantryd.socket gantry-supervisor.service
INSTALLED      = $(addprefix $(BINDIR)/,$(PROGRAMS)) \
	$(addprefix $(UNITDIR)/,$(UNITS)) \
	$(SYSUSERSDIR)/gantry.conf \
	$(SHAREDIR)/man/man8/gantryd.8 \
	$(SHAREDIR)/bash-completion/completions/gantryd \
	$(SHAREDIR)/zsh/site-functions/_gantryd \
	$(SHAREDIR)/fish/vendor_completions.d/gantryd.fish \
	$(SHAREDIR)/doc/gantry/daemon.json

.PHONY: install uninstall install-programs install-units install-documents

install: install-programs install-units install-documents ## Install programs, units, manual page and completion (PREFIX, DESTDIR)
	@echo "installed below $(DESTDIR)$(PREFIX); now: systemd-sysusers; systemctl daemon-reload; systemctl enable --now gantryd"

install-programs:
	$(INSTALL) -d $(DESTDIR)$(BINDIR)
	set -e; for p in $(PROGRAMS); do \
		[ -e $(BIN)/$$p ] || continue; \
		$(INSTALL) -m 0755 $(BIN)/$$p $(DESTDIR)$(BINDIR)/.$$p.new; \
		mv -f $(DESTDIR)$(BINDIR)/.$$p.new $(DESTDIR)$(BINDIR)/$$p; \
	done

install-units:
	$(INSTALL) -d $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSUSERSDIR)
	set -e; for u in $(UNITS); do \
		sed 's|@BINDIR@|$(BINDIR)|g' $(CONTRIB)/systemd/$$u > $(DESTDIR)$(UNITDIR)/$$u; \
		chmod 0644 $(DESTDIR)$(UNITDIR)/$$u; \
	done
	$(INSTALL) -m 0644 $(CONTRIB)/systemd/gantry.sysusers $(DESTDIR)$(SYSUSERSDIR)/gantry.conf

install-documents:
	$(INSTALL) -d $(DESTDIR)$(SHAREDIR)/man/man8 $(DESTDIR)$(SHAREDIR)/doc/gantry $(DESTDIR)$(SHAREDIR)/bash-completion/completions \
		$(DESTDIR)$(SHAREDIR)/zsh/site-functions $(DESTDIR)$(SHAREDIR)/fish/vendor_completions.d
	$(BIN)/gantryd man > $(DESTDIR)$(SHAREDIR)/man/man8/gantryd.8
	$(BIN)/gantryd completion bash > $(DESTDIR)$(SHAREDIR)/bash-completion/completions/gantryd
	$(BIN)/gantryd completion zsh > $(DESTDIR)$(SHAREDIR)/zsh/site-functions/_gantryd
	$(BIN)/gantryd completion fish > $(DESTDIR)$(SHAREDIR)/fish/vendor_completions.d/gantryd.fish
	$(INSTALL) -m 0644 $(CONTRIB)/daemon.json $(DESTDIR)$(SHAREDIR)/doc/gantry/daemon.json

uninstall: ## Remove what install has installed; data and configuration stay
	rm -f $(addprefix $(DESTDIR),$(INSTALLED))
