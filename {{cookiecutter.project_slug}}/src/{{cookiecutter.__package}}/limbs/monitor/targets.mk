##@ serving
monitor: .venv/ready ## has what is served drifted? DAYS=7 OUTCOMES=known.csv; SINCE=2026-01-01 UNTIL=2026-02-01 ROLE=challenger or, instead of what was served: FILE=rows.csv PART=later
	@$(RUN) monitor $(if $(DAYS),--days $(DAYS)) $(if $(SINCE),--since "$(SINCE)") $(if $(UNTIL),--until "$(UNTIL)") \
		$(if $(OUTCOMES),--outcomes "$(OUTCOMES)") $(if $(FILE),--file "$(FILE)") $(if $(PART),--part $(PART)) $(if $(ROLE),--role $(ROLE))
.PHONY: monitor
