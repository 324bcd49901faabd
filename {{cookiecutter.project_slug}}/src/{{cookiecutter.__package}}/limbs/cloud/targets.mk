# make train ON=...: where, on what, and the most that it may cost; a BUDGET is dollars there.
RENT = --on $(ON) $(if $(GPU),--gpu $(GPU)) $(if $(filter yes,$(SPOT)),--spot) $(if $(filter no,$(SPOT)),--no-spot) \
	$(if $(NODES),--nodes $(NODES)) $(if $(BUDGET),--dollars $(BUDGET)) $(if $(HOURS),--hours $(HOURS)) \
	$(if $(PRICE),--price $(PRICE)) $(if $(DETACH),--detach) $(if $(DRY),--dry-run) $(if $(YES),--yes)

cloud: .venv/ready ## which jobs run on rented machines, and what they have cost so far
	@$(RUN) cloud
cloud-follow: .venv/ready ## go on with a job from here, and bring its results home; JOB=
	@$(RUN) cloud-follow $(if $(JOB),--job $(JOB))
cloud-stop: .venv/ready ## end a job; JOB= or ALL=1
	@$(RUN) cloud-stop $(if $(JOB),--job $(JOB)) $(if $(ALL),--all)
.PHONY: cloud cloud-follow cloud-stop
