//go:build linux

package main

import (
	"fmt"

	"roost/conn/cluster"
)

// clusterFlags are those of a fleet of nodes.
type clusterFlags struct {
	Cluster      []string `group:"Cluster" secret:"" placeholder:"URL" help:"Share topics with other nodes over this NATS, as nats://host:4222 or tls://host:4222: what is published on one node reaches the subscribers of all. user:password@ before the host if NATS wants it; better in the environment then: everybody on a machine can read command lines. Several servers of one NATS: repeat or separate with commas. While NATS is away the node goes on by itself, is not ready, and tries again."`
	ClusterName  string   `group:"Cluster" default:"roost" placeholder:"NAME" help:"Name of the fleet: nodes with another one share the NATS and nothing else. Letters, digits, - and _."`
	ClusterCreds string   `group:"Cluster" placeholder:"FILE" help:"Credentials of a NATS user, as nsc writes them. The user needs the right to publish and subscribe to roost.NAME.>."`
	ClusterCA    string   `group:"Cluster" name:"cluster-tls-ca" placeholder:"FILE" help:"Certificates (PEM) that sign the one of NATS, in place of the system's. Demands TLS."`
	ClusterCert  string   `group:"Cluster" name:"cluster-tls-cert" placeholder:"FILE" help:"Certificate (PEM) that this node shows to NATS. Demands TLS, and --cluster-tls-key."`
	ClusterKey   string   `group:"Cluster" name:"cluster-tls-key" placeholder:"FILE" help:"Its key (PEM)."`
	ClusterQueue size     `group:"Cluster" name:"cluster-queue-bytes" default:"16MiB" placeholder:"BYTES" help:"Bytes of messages that may wait for NATS while it is away or slow, and as many of other nodes that may wait to be delivered; beyond, the oldest are lost and counted. 0 means 16MiB."`
}

// faults lists flags that would be of no effect, and nobody would notice.
func (f *clusterFlags) faults() (errs []error) {
	if len(f.Cluster) > 0 {
		return nil
	}
	for _, flag := range []struct{ name, value string }{
		{"cluster-creds", f.ClusterCreds}, {"cluster-tls-ca", f.ClusterCA}, {"cluster-tls-cert", f.ClusterCert}, {"cluster-tls-key", f.ClusterKey},
	} {
		if flag.value != "" {
			errs = append(errs, fmt.Errorf("--%s: there is no NATS to use it with: want --cluster beside it", flag.name))
		}
	}
	return errs
}

// config is nil when the node is alone. longest is that of messages, 0 without a limit:
// other nodes are taken to have the same.
func (f *clusterFlags) config(longest int64) *cluster.Config {
	if len(f.Cluster) == 0 {
		return nil
	}
	return &cluster.Config{
		URLs: f.Cluster, Name: f.ClusterName, Creds: f.ClusterCreds,
		CA: f.ClusterCA, Cert: f.ClusterCert, Key: f.ClusterKey, QueueBytes: int(f.ClusterQueue.n), MaxMessage: orOff(longest),
	}
}
