# Engines of an rwasm-cluster on every client of a Nomad cluster, one process each.
#
# The key is a Nomad variable:
#   nomad var put nomad/jobs/rwasm-engines engine_key=@engine.key ca=@ca.pem
#   nomad job run -var cluster=tls://nats.example.org:4222 engines.nomad.hcl
# A drain longer than 30 s wants `max_kill_timeout = "2m"` in the configuration of the clients, which else cut it off there.

variable "cluster" {
  type        = string
  description = "The URL of the cluster."
}

variable "lane" {
  type    = string
  default = "main"
}

variable "engines" {
  type        = number
  default     = 4
  description = "Engines on each client; also the number of cores that are reserved for them."
}

job "rwasm-engines" {
  type = "system"

  group "engines" {
    network {
      port "health" {}
    }

    task "engines" {
      driver = "exec"
      user   = "nobody"

      # TERM drains. Half a minute more than --drain-timeout, to hand back what did not end and to store results.
      kill_signal  = "SIGTERM"
      kill_timeout = "90s"

      config {
        command = "/usr/local/bin/rwasm-cluster"
        args = [
          "engine", "join", var.cluster,
          "-n", "${var.engines}",
          "--key", "${NOMAD_SECRETS_DIR}/engine.key",
          "--ca", "${NOMAD_SECRETS_DIR}/ca.pem",
          "--policy", "${NOMAD_TASK_DIR}/policy.toml",
          "--cache-dir", "${NOMAD_TASK_DIR}/compiled",
          "--drain-timeout", "60s",
          "--lane", var.lane,
          "--label", "node=${node.unique.name}",
          "--health", "0.0.0.0:${NOMAD_PORT_health}",
        ]
      }

      template {
        destination = "secrets/engine.key"
        perms       = "0400"
        uid         = 65534
        data        = "{{ with nomadVar \"nomad/jobs/rwasm-engines\" }}{{ .engine_key }}{{ end }}"
      }

      template {
        destination = "secrets/ca.pem"
        data        = "{{ with nomadVar \"nomad/jobs/rwasm-engines\" }}{{ .ca }}{{ end }}"
      }

      template {
        destination = "local/policy.toml"
        data        = "# Nothing is granted.\n"
      }

      service {
        name     = "rwasm-engines"
        provider = "nomad"
        port     = "health"

        check {
          type     = "http"
          path     = "/readyz"
          interval = "10s"
          timeout  = "2s"
        }
      }

      restart {
        mode     = "delay"
        interval = "1m"
        attempts = 5
        delay    = "10s"
      }

      resources {
        cores  = var.engines
        memory = 512 * var.engines + 1024
      }
    }
  }
}
