##@ project
doctor: .venv/ready ## what is missing here, and what mends it; elsewhere too: ON=aws GPU=L4:1 SPOT=yes NODES=2
	@$(RUN) doctor $(if $(ON),--on $(ON)) $(if $(GPU),--gpu $(GPU)) $(if $(filter 1 yes true,$(SPOT)),--spot) $(if $(NODES),--nodes $(NODES))
.PHONY: doctor
