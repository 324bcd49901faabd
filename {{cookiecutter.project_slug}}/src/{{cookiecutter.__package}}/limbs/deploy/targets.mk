deploy: .venv/ready ## put the API on a host or cloud; ON=docker, aws, sky STATUS=1 ROLLBACK=1 DOWN=1
	@$(RUN) deploy $(if $(ON),--on $(ON)) $(if $(STATUS),--status) $(if $(ROLLBACK),--rollback) $(if $(DOWN),--down) $(if $(DRY),--dry-run)
.PHONY: deploy
