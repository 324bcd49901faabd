##@ serving
deploy: .venv/ready ## the API on a host or cloud: HOST=ssh://me@host; HOST=ssh://me@host PORT=8000 or ON=aws, ON=sky; STATUS=1 ROLLBACK=1 FETCH=1 DOWN=1 DRY=1 YES=1
	@$(RUN) deploy $(if $(ON),--on $(ON)) $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(if $(STATUS),--status) $(if $(ROLLBACK),--rollback) $(if $(FETCH),--fetch) $(if $(DOWN),--down) $(if $(DRY),--dry-run) $(if $(YES),--yes)
.PHONY: deploy
