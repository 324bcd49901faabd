##@ renting
train: ## on a rented machine: ON=aws GPU=L4:1 BUDGET=5; ON=docker, ssh://me@host, aws, gcp, lambda, runpod, slurm, ... GPU=L4:1 SPOT=no NODES=2 BUDGET=5 (dollars at most) HOURS=2 PRICE=0.5 (dollars an hour) DETACH=1 DRY=1 YES=1
RENT = --on $(ON) $(if $(GPU),--gpu $(GPU)) $(if $(filter yes,$(SPOT)),--spot) $(if $(filter no,$(SPOT)),--no-spot) \
	$(if $(NODES),--nodes $(NODES)) $(if $(BUDGET),--dollars $(BUDGET)) $(if $(HOURS),--hours $(HOURS)) \
	$(if $(PRICE),--price $(PRICE)) $(if $(DETACH),--detach) $(if $(DRY),--dry-run) $(if $(YES),--yes)

cloud: .venv/ready ## jobs on rented machines, and what they have cost so far
	@$(RUN) cloud
cloud-follow: .venv/ready ### go on with a job from here, and bring its results home; JOB=
	@$(RUN) cloud-follow $(if $(JOB),--job $(JOB))
cloud-stop: .venv/ready ### end a job; JOB= or ALL=1
	@$(RUN) cloud-stop $(if $(JOB),--job $(JOB)) $(if $(ALL),--all)
.PHONY: cloud cloud-follow cloud-stop

cloud-sweep: .venv/ready ### end what is left of rented machines on AWS, by their tags; YES=1 ALL=1 DRY=1
	@$(RUN) cloud-sweep $(if $(ALL),--everything) $(if $(DRY),--dry-run) $(if $(YES),--yes)

cloud-bootstrap: .venv/ready ### bucket, image repository, roles and a budget's alarm on AWS; EMAIL=me@x BUDGET=20
	@$(RUN) cloud-bootstrap $(if $(EMAIL),--email "$(EMAIL)") $(if $(BUDGET),--dollars $(BUDGET))

cloud-destroy: .venv/ready ### remove what cloud-bootstrap made; YES=1
	@$(RUN) cloud-destroy $(if $(YES),--yes)

.PHONY: cloud-sweep cloud-bootstrap cloud-destroy
